-- What the providers and the upgrade scripts share: the one uplink of a Gluon node in /etc/config/wguplink.

local simple_uci = require 'simple-uci'
local util = require 'gluon.util'
local rules = require 'gluon.mesh-vpn.wguplink_rules'

local M = {
	-- the section of the node's uplink
	uplink = 'mesh',
	-- What the site wrote last lies in this package. What differs from it in wguplink is the user's, and stays.
	record = 'wguplink_site',
	-- "SUM KEY": the public key, and the sum of the configuration that it belongs to. respondd reads it, too.
	known = '/var/run/wguplink.public-key',
}

local TRUE = { ['1'] = true, on = true, ['true'] = true, yes = true, enabled = true }

-- Whether a value of UCI says yes, in any of the spellings that are in the field.
function M.truth(value)
	return TRUE[value] == true
end

function M.valid_key(key)
	return type(key) == 'string' and rules.good('gateway', 'public_key', key)
end

-- A fastd secret can be taken over as well: 64 hexadecimal digits.
function M.importable(key)
	return M.valid_key(key) or (type(key) == 'string' and #key == 64 and key:match('^%x+$') ~= nil)
end


-- What Gluon's core asks a provider for

function M.enable(val)
	local uci = simple_uci.cursor()
	if uci:get('wguplink', M.uplink) then
		uci:set('wguplink', M.uplink, 'enabled', val and true or false)
		uci:save('wguplink')
	end
end

-- The wizard multiplies Mbit/s by 1000, so that there can be decimal places. More than the agent can shape is its most.
local function kbit(value)
	value = tonumber(value)
	if not value or value ~= value or value < 1 then
		return nil
	end
	return string.format('%.0f', math.min(math.floor(value + 0.5), rules.uplink.limit_ingress.to))
end

-- Limits in kbit/s, or nil for none. The agent shapes by itself; two shapers would halve the rate, so that simple-tc's
-- section, which the earlier providers wrote, goes.
function M.set_limit(ingress, egress)
	local uci = simple_uci.cursor()
	if uci:get('wguplink', M.uplink) then
		uci:set('wguplink', M.uplink, 'limit_ingress', kbit(ingress))
		uci:set('wguplink', M.uplink, 'limit_egress', kbit(egress))
		uci:save('wguplink')
	end
	if uci:get('simple-tc', 'mesh_vpn') then
		uci:delete('simple-tc', 'mesh_vpn')
		uci:save('simple-tc')
	end
end

-- What the configuration is, in one word: also where the key lies in a file, and with what is staged.
local function sum()
	local file = simple_uci.cursor():get('wguplink', M.uplink, 'key_file') or ''
	return util.exec("cat /etc/config/wguplink /tmp/.uci/wguplink '" .. file:gsub("'", "'\\''") ..
		"' 2>/dev/null | md5sum"):match('^%x+') or ''
end

-- The agent's public key in base64. It is imported or made where there is none yet: the wizard shows it on the first
-- boot, when no agent runs. nil where that cannot be. The program says it once; after that it lies in RAM until the
-- configuration is another: a program in flash is read and unpacked anew by each start, and status pages ask often.
function M.public_key()
	local of, known = (util.readfile(M.known) or ''):match('^(%x+) (%S+)\n$')
	if M.valid_key(known) and of == sum() then
		return known
	end
	local key = util.trim(util.exec('wguplink key show --make ' .. M.uplink .. ' 2>/dev/null'))
	if not M.valid_key(key) then
		os.remove(M.known)
		return nil
	end
	local f = io.open(M.known .. '.new', 'w')
	if f then
		f:write(sum() .. ' ' .. key .. '\n')
		f:close()
		os.rename(M.known .. '.new', M.known)
	end
	return key
end

-- Whether Gluon's core has chosen the provider of that name, as it does it itself: one domain can have several parts.
function M.chosen(name)
	return require('gluon.mesh-vpn').get_active_provider() == name
end

-- A provider whose part of the site that is: an accessor such as site.mesh_vpn.parker.
function M.provider(part)
	return {
		enable = M.enable,
		public_key = M.public_key,
		set_limit = M.set_limit,
		active = function()
			return part() ~= nil
		end,
		-- Bytes; nil where the agent chooses: Gluon's core then leaves the device's own.
		mtu = function()
			return tonumber(part.mtu())
		end,
		-- WireGuard shows its key to the gateway alone.
		pubkey_privacy = function()
			return false
		end,
	}
end


-- The three-way merge: site as it was, UCI as it is, site as it is now

local function text(value)
	if type(value) == 'boolean' then
		return value and '1' or '0'
	elseif type(value) == 'number' then
		return value % 1 == 0 and string.format('%.0f', value) or (string.format('%.9f', value):gsub('0+$', ''))
	elseif type(value) == 'table' then
		local list = {}
		for i, v in ipairs(value) do
			list[i] = text(v)
		end
		return #list > 0 and list or nil
	end
	return value
end

local function equal(a, b)
	local function flat(v)
		return type(v) == 'table' and table.concat(v, '\n') or v
	end
	return flat(a) == flat(b)
end

local function sorted(...)
	local keys, seen = {}, {}
	for _, t in ipairs({...}) do
		for k in pairs(t) do
			if not seen[k] and k:sub(1, 1) ~= '.' then
				seen[k] = true
				table.insert(keys, k)
			end
		end
	end
	table.sort(keys)
	return keys
end

-- As uci:section, with values as in site.conf; what is right already is not written.
function M.section(uci, package, stype, name, values)
	if uci:get(package, name) ~= stype then
		uci:section(package, stype, name)
	end
	for _, option in ipairs(sorted(values)) do
		local value = text(values[option])
		if not equal(uci:get(package, name, option), value) then
			uci:set(package, name, option, value)
		end
	end
end

-- Options that a user can have meant where nothing tells what the site had: the node's own matters, not what the
-- gateways speak.
local USERS = {}
for _, option in ipairs({
	'address_family', 'backend', 'batman_hop_penalty', 'batman_throughput', 'broker_timeout', 'enabled', 'fwmark',
	'keepalive', 'key_file', 'limit_egress', 'limit_ingress', 'listen_port', 'location', 'mtu', 'node_name',
	'ntp_grace',
	'private_key', 'rebalance', 'vxlan_mtu', 'wan_device',
}) do
	USERS[option] = true
end

-- lost: there is no record of what the site wrote.
local function merge_section(uci, stype, name, wanted, lost)
	local was = uci:get_all(M.record, name) or {}
	local is = uci:get_all('wguplink', name)
	if not is then
		uci:section('wguplink', stype, name)
		is = {}
	end
	if lost then
		for option, value in pairs(is) do
			if option:sub(1, 1) ~= '.' and not USERS[option] then
				was[option] = value
			end
		end
	end

	for _, option in ipairs(sorted(was, wanted)) do
		local mine = is[option] ~= nil and not equal(is[option], was[option])
		if not mine and not equal(is[option], wanted[option]) then
			uci:set('wguplink', name, option, wanted[option])
		end
	end

	uci:delete(M.record, name)
	uci:section(M.record, stype, name)
	for _, option in ipairs(sorted(wanted)) do
		uci:set(M.record, name, option, wanted[option])
	end
end

-- A gateway that the site no longer has goes, unless the owner has changed or marked it.
local function drop_gateway(uci, name)
	local was, is = uci:get_all(M.record, name), uci:get_all('wguplink', name)
	local mine = false
	if is then
		for _, option in ipairs(sorted(was, is)) do
			mine = mine or not equal(was[option], is[option])
		end
	end
	if is and not mine then
		uci:delete('wguplink', name)
	end
	uci:delete(M.record, name)
end

-- A file must be there for UCI to write to it. There will be a private key in it.
local function ensure(package)
	local path = '/etc/config/' .. package
	local f = io.open(path)
	if not f then
		f = assert(io.open(path, 'w'))
		os.execute('chmod 600 ' .. path)
	end
	f:close()
end

-- Nothing can be written to a file that UCI cannot read. It is put aside, and the key in it is saved.
local function mend(uci)
	ensure('wguplink')
	ensure(M.record)
	if uci:load('wguplink') then
		return
	end
	local path, aside = '/etc/config/wguplink', '/etc/wguplink.broken'
	local content = util.readfile(path) or ''
	io.stderr:write(path .. ' cannot be read by uci: it is now ' .. aside .. ', and a new one is written\n')
	assert(os.rename(path, aside))
	ensure('wguplink')
	uci:load('wguplink')
	local key = content:match('private_key%s+[\'"]?([%a%d+/]+=)')
	if M.valid_key(key) then
		uci:section('wguplink', 'uplink', M.uplink, { private_key = key })
	end
end

-- Puts the options of the uplink in order: those of the site by their names, then all others as they come. Their order
-- means nothing to the agent, but a node whose domain goes to another protocol and back has the file that it had. Only
-- the command uci tells the order.
local function tidy(uci, wanted)
	local order, rest, seen = sorted(wanted), {}, {}
	for line in util.exec('uci -q show wguplink'):gmatch('[^\n]+') do
		local option = line:match('^wguplink%.' .. M.uplink .. '%.([%w_]+)=')
		if option then
			table.insert(seen, option)
			if wanted[option] == nil then
				table.insert(rest, option)
			end
		end
	end
	for _, option in ipairs(rest) do
		table.insert(order, option)
	end
	local is = uci:get_all('wguplink', M.uplink)
	if table.concat(order, ' ') == table.concat(seen, ' ') or #order ~= #seen then
		return
	end
	for _, option in ipairs(order) do
		uci:delete('wguplink', M.uplink, option)
		uci:set('wguplink', M.uplink, option, is[option])
	end
	uci:save('wguplink')
end

-- Brings an uplink and its gateways to UCI: options by their names in docs/configuration.md, with values as in
-- site.conf. enabled and the limits are not among them: they are gluon.mesh_vpn's, and written by enable and set_limit.
function M.write(uplink, gateways)
	local uci = simple_uci.cursor()
	mend(uci)

	local function plain(options)
		local t = {}
		for k, v in pairs(options) do
			t[k] = text(v)
		end
		return t
	end

	local fresh = not uci:get('wguplink', M.uplink, 'enabled')
	local lost = not uci:get(M.record, M.uplink)
	merge_section(uci, 'uplink', M.uplink, plain(uplink), lost)
	if fresh then
		uci:set('wguplink', M.uplink, 'enabled', M.wanted())
	end

	local names = {}
	for name in pairs(gateways) do
		names[name] = true
	end
	local gone = {}
	if lost then
		-- Gateways of a list without names can only be a site's.
		uci:foreach('wguplink', 'gateway', function(s)
			if s['.name']:match('^peer_%d+$') and not names[s['.name']] then
				table.insert(gone, s['.name'])
			end
		end)
		for _, name in ipairs(gone) do
			uci:delete('wguplink', name)
		end
		gone = {}
	end
	uci:foreach(M.record, 'gateway', function(s)
		if not names[s['.name']] then
			table.insert(gone, s['.name'])
		end
	end)
	for _, name in ipairs(gone) do
		drop_gateway(uci, name)
	end

	-- The keys of the gateways that are the owner's own: a second one with the same key would be a mistake.
	local taken = {}
	uci:foreach('wguplink', 'gateway', function(s)
		if s.public_key and not names[s['.name']] then
			taken[s.public_key] = s['.name']
		end
	end)
	for _, name in ipairs(sorted(gateways)) do
		local g = plain(gateways[name])
		if not taken[g.public_key] then
			merge_section(uci, 'gateway', name, g, lost)
		end
	end

	uci:save('wguplink')
	uci:save(M.record)
	tidy(uci, plain(uplink))
end

-- Gateways that a user had marked with "preserve" for the earlier package become ones of our own.
function M.adopt_gateways()
	local uci = simple_uci.cursor()
	local taken = {}
	uci:foreach('wguplink', 'gateway', function(s)
		taken[s['.name']] = true
		taken[s.public_key or ''] = true
	end)

	local function adopt(s, name, key, link_address)
		if M.truth(s.preserve) and M.valid_key(key) and s.endpoint and not taken[key] and not taken[name] then
			taken[key], taken[name] = true, true
			uci:section('wguplink', 'gateway', name, {
				uplink = M.uplink, public_key = key, endpoint = { s.endpoint }, link_address = link_address,
			})
			if s.enabled and not M.truth(s.enabled) then
				uci:set('wguplink', name, 'enabled', false)
			end
		end
	end
	local number = 0
	uci:foreach('wireguard', 'peer', function(s) -- Munich's
		number = number + 1
		adopt(s, s['.anonymous'] and 'own_' .. number or s['.name'], s.publickey, s.link_address)
	end)
	uci:foreach('wgpeerselector', 'peer', function(s) -- Gluon's
		number = number + 1
		adopt(s, s['.anonymous'] and 'own_' .. number or s['.name'], s.public_key, 'fe80::1')
	end)
	uci:save('wguplink')
end


-- Whether the VPN is on

-- gluon.mesh_vpn.enabled is the only truth. Returns a boolean.
function M.wanted()
	return M.truth(simple_uci.cursor():get('gluon', 'mesh_vpn', 'enabled'))
end

-- Makes gluon.mesh_vpn what Gluon's core expects. Where it is not there yet, the earlier packages' own switches are
-- read, and other spellings of yes are put right: an update must not take a node offline.
function M.mend_switch(site)
	local uci = simple_uci.cursor()
	local switch = uci:get('gluon', 'mesh_vpn', 'enabled')
	if switch == '0' or switch == '1' then
		return
	end
	if uci:get('gluon', 'mesh_vpn') then
		uci:set('gluon', 'mesh_vpn', 'enabled', M.truth(switch))
	elseif M.truth(uci:get('wireguard', 'mesh_vpn', 'enabled')) or M.truth(uci:get('fastd', 'mesh_vpn', 'enabled')) then
		uci:section('gluon', 'mesh_vpn', 'mesh_vpn', {
			enabled = true,
			limit_enabled = site.mesh_vpn.bandwidth_limit.enabled(false),
			limit_ingress = site.mesh_vpn.bandwidth_limit.ingress(),
			limit_egress = site.mesh_vpn.bandwidth_limit.egress(),
		})
	else
		return
	end
	uci:save('gluon')
end


-- Private keys

-- Places that no program but this one will see: Gluon makes /etc/config/network anew with each update, before our
-- scripts.
local GOES = { ['network_gluon-old'] = true, network = true }

-- Looks for a private key in places "package.section.option", in their order. Returns a key to store, when the first
-- that is found is in a place that goes away, or was handed in; and the places that the agent may look at itself. One
-- with something that is no key is left out: the agent would stop there.
function M.find_key(places, from_file)
	local uci = simple_uci.cursor()
	local list, found, key = {}, false, nil
	for _, place in ipairs(places) do
		local package, section, option = place:match('^([^.]+)%.([^.]+)%.([^.]+)$')
		local value = uci:get(package, section, option)
		local good = M.importable(value)
		if value and value ~= '' and value ~= 'generate' and not good then
			io.stderr:write(place .. ' holds no private key: it is left as it is, and not used\n')
		elseif not GOES[package] then
			table.insert(list, place)
		elseif good and not found then
			key = value
		end
		found = found or good
	end
	if not found and M.valid_key(from_file) then
		key = from_file
	end
	return key, list
end

-- The way back. An older image looks for its key where its own package had it, so that a copy lies there: for Gluon's
-- own WireGuard and Aachen's packages in network.wg_mesh, of a type that netifd does not know; for Munich's in its own
-- file.
local COPY = 'wguplink_key'

local function copies(protocol)
	return {
		network = { name = 'wg_mesh', option = 'private_key', stype = COPY, wanted = protocol == 'static' or
			protocol == 'ffac' },
		wireguard = { name = 'mesh_vpn', option = 'privatekey', stype = 'wireguard', wanted = protocol == 'wgkex' },
	}
end

-- Brings one copy in line with the key; nil takes it away, if it is one of ours.
local function keep_copy(uci, package, place, key)
	local is = uci:get_all(package, place.name)
	local ours = is and (is['.type'] == COPY or is[COPY] == '1')
	if is and place.stype ~= is['.type'] then
		return -- the owner's
	elseif is and key and is[place.option] == key then
		return
	elseif not ours and (not key or (is and is[place.option] and not M.valid_key(is[place.option]))) then
		return -- nor is a damaged key ours to replace
	end
	if util.exec('uci -q changes ' .. package):match('%S') then
		io.stderr:write('wguplink: the copy of the key in ' .. package .. ' waits: there are uncommitted changes\n')
		return
	end
	local path = '/etc/config/' .. package
	if key then
		local f = io.open(path, 'a')
		if not f then
			return
		end
		f:close()
		os.execute('chmod 600 ' .. path)
		if not is then
			uci:section(package, place.stype, place.name, {})
		end
		uci:set(package, place.name, place.option, key)
		if place.stype ~= COPY then
			uci:set(package, place.name, COPY, '1')
		end
	elseif place.stype == COPY then
		uci:delete(package, place.name)
	else
		uci:delete(package, place.name, place.option)
		uci:delete(package, place.name, COPY)
	end
	uci:save(package)
	uci:commit(package)
end

-- Makes or imports the key where there is none, and keeps the copies. For the end of an upgrade and each start of the
-- service; without an uplink of ours it does nothing.
function M.keep_key()
	local uci = simple_uci.cursor()
	local uplink = uci:get_all('wguplink', M.uplink)
	if not uplink or not (M.chosen('wireguard') or M.chosen('parker')) then
		return
	end
	-- A key that the user has deleted is not to come back from its copy.
	if not uplink.private_key and not uplink.key_file then
		for package, place in pairs(copies()) do
			keep_copy(uci, package, place, nil)
		end
	end
	M.public_key()
	uci = simple_uci.cursor()
	uplink = uci:get_all('wguplink', M.uplink) or {}
	local key = uplink.private_key
	if uplink.key_file then
		key = util.trim(util.readfile(uplink.key_file) or '')
	end
	for package, place in pairs(copies(uplink.protocol)) do
		keep_copy(uci, package, place, place.wanted and M.valid_key(key) and key or nil)
	end
end

-- Stores a key that would be lost otherwise. A key that is there already is never touched.
function M.store_key(key)
	local uci = simple_uci.cursor()
	local place = uci:get_all('wguplink', M.uplink)
	if key and place and not place.private_key and not place.key_file then
		uci:set('wguplink', M.uplink, 'private_key', key)
		uci:save('wguplink')
	end
end

return M
