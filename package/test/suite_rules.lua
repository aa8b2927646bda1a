-- The rules of options: the agent and Gluon's side say the same of the same values.

local lib = require 'lib'

local MODULE = 'package/gluon-mesh-vpn-wguplink/luasrc/usr/lib/lua/gluon/mesh-vpn/wguplink_rules.lua'
local rules = assert(loadfile(MODULE))()

local places = {}
for _, section in ipairs({ 'uplink', 'gateway' }) do
	for option in pairs(rules[section]) do
		table.insert(places, section .. '.' .. option)
	end
end
table.sort(places)
lib.check('there are options', #places > 40, #places)

-- SEED draws other values.
local seed = os.getenv('SEED') or '1'
local ok, out, err = lib.sh(lib.tmp .. '/bin/rules 1000 ' .. seed .. ' ' .. table.concat(places, ' '))
lib.check('the agent speaks', ok, err)

local count, differ, yes = 0, {}, {}
for hex, theirs in out:gmatch('([0-9a-f]*) ([01]+)\n') do
	count = count + 1
	local value = hex:gsub('..', function(byte) return string.char(tonumber(byte, 16)) end)
	for i, place in ipairs(places) do
		local section, option = place:match('^(.-)%.(.*)$')
		local ours = rules.good(section, option, value)
		yes[place] = yes[place] or ours
		if ours ~= (theirs:sub(i, i) == '1') then
			table.insert(differ, string.format('%s %q: the agent says %s', place, value, theirs:sub(i, i)))
		end
	end
end
lib.check('a thousand values', count > 1000, count)
lib.check('the same verdicts, seed ' .. seed, #differ == 0, table.concat(differ, '\n', 1, math.min(#differ, 20)))
for _, place in ipairs(places) do
	lib.check(place .. ' takes some value', yes[place])
end

-- Values that the two sides had once disagreed about.
for place, values in pairs({
	['uplink.broker'] = { 'https://broker.example.org/a%20b' },
	['uplink.domain'] = { ('x'):rep(70) },
	['uplink.location'] = { ('x'):rep(70) },
	['uplink.node_name'] = { ('x'):rep(70) },
	['uplink.batman_throughput'] = { '50' },
	['uplink.broker_pin'] = { 'abc=' },
	['uplink.dns'] = { '::::' },
	['uplink.ntp_server'] = { '-x-' },
	['uplink.limit_ingress'] = { '34359739' },
	['gateway.endpoint'] = { '300.1.2.3:51820' },
	['gateway.link_address'] = { 'fe80::1:' },
}) do
	local section, option = place:match('^(.-)%.(.*)$')
	for _, value in ipairs(values) do
		lib.check(place .. ' refuses ' .. value, not rules.good(section, option, value))
	end
end
