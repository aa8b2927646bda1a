-- Mistakes by the thousand: each key of a site is left out, or gets a value of another kind or shape. Either the image
-- is not built, for a reason in one line that names the key; or the node runs what the site says. SEED draws other
-- pairs.

local lib = require 'lib'
local sitecheck = require 'sitecheck'

local KEY = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
local PACKAGES = { 'gluon-mesh-vpn-wguplink', 'gluon-mesh-vpn-parker-wguplink' }

-- All keys that we read, with values that pass.
local function munich()
	local site = sitecheck.example()
	for k, v in pairs({
		protocol = 'wgkex', broker_ca = 'none', broker_pin = { 'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' },
		broker_timeout = 12, domain = 'ffxx_city', location = 'Vienna', ntp_servers = { '192.0.2.1' }, ntp_grace = 0,
		dns = { '127.0.0.1:54' }, iface = 'wg_vpn', backend = 'kernel', keepalive = 25, address_family = 'auto',
		rebalance = 'daily', link_local = 'key', link_prefix = 128, vxlan_seed_key = 'k', vxlan_port = 4789,
		vxlan_checksum = false, vxlan_id = 5, batman_throughput = 'auto', batman_hop_penalty = 15,
	}) do
		site.mesh_vpn.wireguard[k] = v
	end
	return site
end
local function gluon()
	local site = sitecheck.example()
	local wg = site.mesh_vpn.wireguard
	wg.broker, wg.loadbalancing = nil, nil
	wg.peers = { gw1 = { public_key = KEY, endpoint = { 'gw1.example.org:51820' }, allowed_ips = { 'fe80::1/128' } } }
	return site
end
local function aachen()
	local site = gluon()
	site.mesh_vpn.wireguard.broker, site.mesh_vpn.wireguard.node_name = 'b.example.org/add', 'x'
	return site
end
local function parker()
	local site = sitecheck.example()
	site.mesh_vpn.wireguard, site.mesh_vpn.parker = nil, { mtu = 1375 }
	site.parker = {
		config_server = { 'config.example.org' },
			config_pubkey = 'RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7',
		client_ntp_servers4 = { '10.0.0.1' }, unifi_controller4 = '10.0.0.2', omada_controllers4 = { '10.0.0.3' },
	}
	return site
end
local FORMS = { munich = munich, gluon = gluon, aachen = aachen, parker = parker }

local NONE = {} -- left out
local function values()
	return {
		NONE, 0, -1, 7, 1.5, 1e300, 0 / 0, true, false, '', ' ', 'x', '7', 'a b', "a'b\n\toption x '1", 'ä',
			('x'):rep(300),
		'none', 'auto', {}, { {} }, { 7 }, { '' }, { 'x', 'x' }, { x = 'y' }, { [2] = 'x' }, { true }, { { { 'x' } } },
	}
end

-- The paths of all keys below those that we read.
local function paths(site)
	local list = {}
	local function walk(value, path)
		table.insert(list, path)
		for k, v in pairs(type(value) == 'table' and value or {}) do
			local below = { unpack(path) }
			table.insert(below, k)
			walk(v, below)
		end
	end
	for _, path in ipairs({
		{ 'mesh_vpn', 'wireguard' }, { 'mesh_vpn', 'parker' }, { 'parker' }, { 'domain_seed' }, { 'ntp_servers' },
	}) do
		local value = site
		for _, k in ipairs(path) do
			value = value and value[k]
		end
		if value ~= nil then
			walk(value, path)
		end
	end
	table.sort(list, function(a, b)
		for i = 1, math.max(#a, #b) do
			if tostring(a[i]) ~= tostring(b[i]) then
				return tostring(a[i]) < tostring(b[i])
			end
		end
		return false
	end)
	return list
end

local function set(site, path, value)
	local at = site
	for i = 1, #path - 1 do
		at = at[path[i]]
		if type(at) ~= 'table' then
			return -- another mistake has taken it away
		end
	end
	if value == NONE then
		at[path[#path]] = nil
	else
		at[path[#path]] = value
	end
end

-- The same in a domain, which has nothing but that.
local function put(domain, path, value)
	local at = domain
	for i = 1, #path - 1 do
		if type(at[path[i]]) ~= 'table' then
			at[path[i]] = {}
		end
		at = at[path[i]]
	end
	at[path[#path]] = value
end

-- A value as Lua text.
local function text(value)
	if type(value) == 'string' then
		return string.format('%q', value)
	elseif type(value) ~= 'table' then
		return value ~= value and '0/0' or value == 1e300 and '1e300' or tostring(value)
	elseif value == NONE then
		return 'nothing'
	end
	local t = {}
	for k, v in pairs(value) do
		table.insert(t, '[' .. text(k) .. ']=' .. text(v))
	end
	return '{' .. table.concat(t, ',') .. '}'
end

local refused, passed = 0, {}
-- domain: the values stand in a domain, beside a site without a mistake.
local function mistake(form, changes, domain)
	local site, names, what = FORMS[form](), {}, form .. (domain and "'s domain:" or ':')
	for _, change in ipairs(changes) do
		if domain then
			put(domain, change[1], change[2])
		else
			set(site, change[1], change[2])
		end
		local name = {}
		for _, k in ipairs(change[1]) do
			table.insert(name, tostring(k))
		end
		table.insert(names, name)
		what = what .. ' ' .. table.concat(name, '.') .. ' = ' .. text(change[2])
	end
	for _, package in ipairs(PACKAGES) do
		local stderr = io.stderr
		io.stderr = { write = function() end } -- luacheck: ignore
		local ok, err
		if domain then
			ok, err = sitecheck.check_domain(package, site, domain)
		else
			ok, err = sitecheck.check(package, site)
		end
		io.stderr = stderr -- luacheck: ignore
		if not ok then
			refused = refused + 1
			err = tostring(err):gsub('\\\n', '\\n') -- as %q writes a newline
			-- The key itself, what it stands in, or, where one is missing for another, the other one.
			local named = err:find('mesh_vpn%.%w') or err:find('parker%.%w') or err:find('ntp_servers', 1, true)
			for _, name in ipairs(names) do
				named = named or err:find(table.concat(name, '.'), 1, true)
			end
			if #changes == 1 and #names[1] > 2 then
				local parent = table.concat(names[1], '.', 1, 3)
				named = err:find(parent, 1, true) or changes[1][2] == NONE or names[1][3] == 'protocol' or
					names[1][3] == 'broker'
			end
			if not named or err:find('\n') or err:find('attempt to') or err:find('bad argument') or
				err:find('%.lua:%d+:') then
				lib.check('refused with one line that names it: ' .. what, false, err)
			end
			return
		end
	end
	passed[text(site) .. '\0' .. text(domain or { domain_names = {} })] = what
end

for form, make in pairs(FORMS) do
	local list = paths(make())
	for _, path in ipairs(list) do
		for _, value in ipairs(values()) do
			mistake(form, { { path, value } })
			if value ~= NONE then
				mistake(form, { { path, value } }, { domain_names = { ffxx_city = 'x' } })
			end
		end
	end
	math.randomseed(tonumber(os.getenv('SEED') or '1'))
	for _ = 1, 300 do
		local v = values()
		mistake(form, { { list[math.random(#list)], v[math.random(#v)] },
			{ list[math.random(#list)], v[math.random(#v)] } })
	end
end
lib.check('mistakes are refused', refused > 2000, refused)

-- What passes runs. Each takes a moment, so it is thirty of them, others with each SEED.
local all = {}
for site in pairs(passed) do
	table.insert(all, site)
end
table.sort(all)
lib.check('some mistakes are none', #all > 200, #all)
for _ = 1, math.min(30, #all) do
	local site = table.remove(all, math.random(#all))
	local what = passed[site]
	local domain
	site, domain = site:match('^(.-)%z(.*)$')
	local root = lib.root({
		gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
		network = "\nconfig interface 'loopback'\n\toption proto 'static'\n\nconfig interface 'wan'\n\toption proto 'dhcp'\n",
		firewall = "\nconfig defaults\n\toption input 'REJECT'\n\nconfig zone\n\toption name 'wan'\n",
		dhcp = "\nconfig dnsmasq\n\toption domain 'lan'\n",
	}, site, domain)
	local ok, out, err = root.upgrade()
	lib.check('upgrade: ' .. what, ok and err == '', out .. err)
	ok, out, err = root.run('wguplink config check')
	lib.check('the agent takes: ' .. what, ok, out .. err)
	assert(lib.sh('rm -rf ' .. root.path))
end
