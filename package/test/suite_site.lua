-- check_site.lua of both packages: good sites pass, and each mistake is one line that names the key.

local lib = require 'lib'

local sitecheck = require 'sitecheck'
local check, example = sitecheck.check, sitecheck.example

local WIREGUARD, PARKER = 'gluon-mesh-vpn-wguplink', 'gluon-mesh-vpn-parker-wguplink'
local function good(name, package, change)
	local site = example()
	change(site, site.mesh_vpn.wireguard)
	local ok, err = check(package, site)
	lib.check('good site: ' .. name, ok, err)
end

-- key is what the message has to name; for a wrong value, the value as well.
local function bad(key, change, package, value)
	local site = example()
	change(site.mesh_vpn.wireguard, site)
	local ok, err = check(package or WIREGUARD, site)
	if lib.check('broken site: ' .. key, not ok, 'it passed') then
		lib.contains('broken site: ' .. key .. ' is named', tostring(err), key)
		lib.check('broken site: ' .. key .. ': one line', not tostring(err):find('\n'), err)
		if value then
			lib.contains('broken site: ' .. key .. ': the value is named', tostring(err), value)
		end
	end
end

local function native(wg)
	wg.broker, wg.loadbalancing = nil, nil
	wg.peers = {
		gw1 = { public_key = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=', endpoint = 'gw1.example.org:51820' },
	}
end

good('the example', WIREGUARD, function() end)
good('Gluon\'s dialect', WIREGUARD, function(_, wg) native(wg) end)
good('Aachen\'s', WIREGUARD, function(_, wg)
	native(wg)
	wg.broker = 'wg-broker.example.org/api/add_key'
end)
good('a broker alone', WIREGUARD, function(_, wg) wg.loadbalancing, wg.peers = 'on', nil end)
good('an old broker URL', WIREGUARD,
	function(_, wg) wg.broker = 'http://broker.example.org:8080/api/v1/wg/key/exchange' end)
good('a broker by address', WIREGUARD, function(_, wg) wg.broker = { 'https://[2001:db8::1]:8443',
	'b.example.org' } end)
good('every key', WIREGUARD, function(site, wg)
	site.domain_seed = nil
	for k, v in pairs({
		protocol = 'wgkex', broker_ca = 'none', broker_pin = { 'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' },
		broker_timeout = 12, domain = 'ffxx_city', location = 'Vienna', ntp_servers = { '192.0.2.1' },
		ntp_grace = 0, dns = { '127.0.0.1:54', '[2001:db8::1]:53' }, iface = 'wg_mesh_vpn', backend = 'kernel',
			keepalive = 25,
		address_family = 'auto', rebalance = 'daily', fleet = 10000, link_local = 'key', link_prefix = 128,
			vxlan_seed_key = 'k',
		vxlan_port = 4789, vxlan_checksum = false, vxlan_id = 5, batman_throughput = 'auto', batman_hop_penalty = 15,
	}) do
		wg[k] = v
	end
end)
local function parker(site)
	site.mesh_vpn.wireguard = nil
	site.mesh_vpn.parker = { mtu = 1375 }
	site.parker = {
		config_server = 'config.example.org',
		config_pubkey = 'RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7',
	}
end
good('Parker', PARKER, parker)
good('Parker, of the other package', WIREGUARD, parker)
good('several Parker servers', PARKER, function(site)
	parker(site)
	site.parker.config_server = { 'config.example.org', 'http://b.example.org/api/v3/config' }
end)
good('Parker, with time servers and controllers', PARKER, function(site)
	parker(site)
	site.parker.client_ntp_servers4 = { '10.0.0.1', '192.0.2.255' }
	site.parker.unifi_controller4 = '10.0.0.2'
	site.parker.omada_controllers4 = '10.0.0.3'
end)
good('a domain with WireGuard beside one with Parker', PARKER, function() end)

-- Keys that have to be there.
bad('mesh_vpn.wireguard', function(_, site) site.mesh_vpn.wireguard = nil end)
bad('mesh_vpn.wireguard.mtu', function(wg) wg.mtu = nil end)
bad('domain_seed', function(_, site) site.domain_seed = nil end)
bad('mesh_vpn.wireguard.peers', function(wg) wg.peers = nil end) -- the user may turn the broker's choice off
bad('mesh_vpn.wireguard.peers', function(wg)
	native(wg)
	wg.peers = {}
end)
bad('mesh_vpn.wireguard.broker', function(wg) wg.broker, wg.protocol = nil, 'wgkex' end)
bad('mesh_vpn.wireguard.broker', function(wg)
	native(wg)
	wg.protocol = 'ffac'
end)
bad('mesh_vpn.wireguard.peers.1.publickey', function(wg) wg.peers[1].publickey = nil end)
bad('mesh_vpn.wireguard.peers.1.link_address', function(wg) wg.peers[1].link_address = nil end)
bad('mesh_vpn.wireguard.peers.2.endpoint', function(wg) wg.peers[2].endpoint = nil end)
bad('mesh_vpn.wireguard.peers.gw1.public_key', function(wg)
	native(wg)
	wg.peers.gw1.public_key = nil
end)
bad('mesh_vpn.wireguard.peers.gw1.endpoint', function(wg)
	native(wg)
	wg.peers.gw1.endpoint = nil
end)
bad('mesh_vpn.wireguard.peers.2', function(wg) -- two dialects at once
	wg.peers[2] = { public_key = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=', endpoint = 'a:1' }
end)
bad('parker.config_server', function(_, site)
	parker(site)
	site.parker.config_server = nil
end, PARKER)
bad('parker.config_pubkey', function(_, site)
	parker(site)
	site.parker.config_pubkey = nil
end, PARKER)
bad('parker.config_pubkey', function(_, site)
	parker(site)
	site.parker.config_pubkey = 'untrusted comment: signify public key'
end, PARKER, 'untrusted')
bad('mesh_vpn.parker.mtu', function(_, site)
	parker(site)
	site.mesh_vpn.parker.mtu = nil
end, PARKER)
bad('mesh_vpn.parker', function(_, site)
	parker(site)
	site.mesh_vpn.parker = nil
end, PARKER)
bad('ntp_servers', function(_, site)
	parker(site)
	site.ntp_servers = nil
end, PARKER)
bad('ntp_servers', function(_, site)
	parker(site)
	site.ntp_servers = {}
end, PARKER)

for key, values in pairs({
	client_ntp_servers4 = {
		'ntp.example.org', '2001:db8::1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '', 7, {}, { '1.2.3.4', 'x' },
	},
	omada_controllers4 = { 'omada', '300.1.1.1', { '10.0.0.1 ' }, true },
	unifi_controller4 = { 'unifi', '10.0.0.1,10.0.0.2', { '10.0.0.1' }, '1.2.3.4 ' },
}) do
	for _, value in ipairs(values) do
		bad('parker.' .. key, function(_, site)
			parker(site)
			site.parker[key] = value
		end, PARKER)
	end
end

-- Unknown keys, and what they may have meant.
for key, nearest in pairs({
	brokr = 'broker', adress_family = 'address_family', Keepalive = 'keepalive', vxlan_prot = 'vxlan_port',
		peer = 'peers',
	protocoll = 'protocol', ntp_server = 'ntp_servers', [1] = 'mtu',
}) do
	bad('mesh_vpn.wireguard.' .. tostring(key), function(wg) wg[key] = 'x' end, WIREGUARD,
		key ~= 1 and "'" .. nearest .. "'" or nil)
end
for key, nearest in pairs({ publikkey = 'publickey', endpoints = 'endpoint', link_adress = 'link_address' }) do
	bad('mesh_vpn.wireguard.peers.1.' .. key, function(wg) wg.peers[1][key] = 'x' end, WIREGUARD, "'" .. nearest .. "'")
end
bad('mesh_vpn.parker.mtuu', function(_, site)
	parker(site)
	site.mesh_vpn.parker.mtuu = 1
end, PARKER, "'mtu'")

-- A broker that is forgotten does not change what the node speaks.
bad('mesh_vpn.wireguard.protocol', function(wg) wg.broker, wg.loadbalancing = nil, nil end, WIREGUARD, "'publickey'")
good('publickey without a broker, said aloud', WIREGUARD, function(_, wg)
	wg.broker, wg.loadbalancing, wg.protocol = nil, nil, 'static'
end)

-- What fits no protocol, or not the rest.
for key, value in pairs({ location = 'Vienna', domain = 'x', node_name = 'x', loadbalancing = 'on' }) do
	bad('mesh_vpn.wireguard.' .. key, function(wg)
		native(wg)
		wg[key] = value
	end, WIREGUARD, "'static'")
end
good('ffac has a name', WIREGUARD, function(_, wg)
	native(wg)
	wg.broker, wg.node_name = 'broker.example.org/api/add_key', 'Knoten 7'
end)
bad('mesh_vpn.wireguard.broker_ca', function(wg) wg.broker_ca = 'none' end)
bad('mesh_vpn.wireguard.broker', function(wg)
	wg.broker, wg.broker_pin = 'http://b.example.org', 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
end)
bad('mesh_vpn.wireguard.peers', function(wg) wg.peers[2].publickey = wg.peers[1].publickey end, WIREGUARD, 'the same')
bad('mesh_vpn.wireguard.peers.1.allowed_ips', function(wg)
	wg.peers[1].allowed_ips = { 'fe80::9/128', '10.0.0.0/8' }
end, WIREGUARD, 'fe80::2a6')
good('allowed_ips', WIREGUARD, function(_, wg) wg.peers[1].allowed_ips = { '10.0.0.0/8', 'fe80::/64' } end)

-- The MTU: what is on the line. A warning ends no build.
local function said(mtu)
	local text = ''
	local stderr = io.stderr
	io.stderr = { write = function(_, t) text = text .. t end } -- luacheck: ignore
	rawset(_G, 'wguplink_said', nil)
	local site = example()
	site.mesh_vpn.wireguard.mtu = mtu
	local ok, err = check(WIREGUARD, site)
	check(WIREGUARD, site)
	io.stderr = stderr -- luacheck: ignore
	lib.check('mtu ' .. tostring(mtu), ok, err)
	return text
end
lib.equal('1330 fits', said(1330), '')
lib.equal('1342 fits', said(1342), '')
lib.equal('auto fits', said('auto'), '')
for mtu, line in pairs({ [1343] = 1493, [1406] = 1556, [1500] = 1650 }) do
	local text = said(mtu)
	lib.contains('mtu ' .. mtu .. ' is warned of', text, tostring(line))
	lib.check('mtu ' .. mtu .. ' is warned of once', select(2, text:gsub('\n', '')) == 1, text)
end

-- Values that are wrong.
for key, values in pairs({
	mtu = { 0, 1600, '1406', 1400.5 },
	protocol = { 'wireguard' },
	loadbalancing = { 'yes' },
	broker = { '', 'two words', 'ftp://', 5, 'https://b.example.org/a%20b', { x = 'b.example.org' } },
	iface = { 'mesh-vpn', 'a-name-that-is-too-long', 'a/b', '' },
	domain = { 'a b', '', ('x'):rep(70) },
	location = { 7, ('x'):rep(70) },
	node_name = { true, ('x'):rep(70) },
	broker_ca = { 'relative.pem' },
	broker_pin = { 'no pin!', 'abc=' },
	broker_timeout = { 0, '5' },
	ntp_servers = { { 'a b' }, '-x-' },
	ntp_grace = { -1 },
	dns = { { 'dns.example.org' }, '::::' },
	keepalive = { 0 },
	address_family = { 'ipv6' },
	backend = { 'user' },
	rebalance = { true },
	fleet = { 'many', -1, 1000001 },
	link_local = { 'mac' },
	link_prefix = { 48 },
	vxlan_id = { 0, 16777216 },
	vxlan_port = { 0, 70000 },
	vxlan_seed_key = { 1 },
	vxlan_checksum = { 'off' },
	batman_throughput = { 'fast', -1, 50 },
	batman_hop_penalty = { 256 },
}) do
	for _, value in ipairs(values) do
		bad('mesh_vpn.wireguard.' .. key, function(wg) wg[key] = value end, WIREGUARD,
			type(value) ~= 'table' and tostring(value) or nil)
	end
end
for key, values in pairs({
	publickey = { 'short', 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkh=' }, -- the last letter has bits that no key has
	endpoint = { 'gw1.example.org', 'gw1.example.org:0', 'gw1.example.org:99999', '2001:db8::1:1', 'a b:1', {},
		'300.1.2.3:5' },
	link_address = { '10.0.0.1', 'fe80::1/128', '2001:db8::1', 'fe80::1:' },
	allowed_ips = { { 'everything' } },
}) do
	for _, value in ipairs(values) do
		bad('mesh_vpn.wireguard.peers.1.' .. key, function(wg) wg.peers[1][key] = value end)
	end
end
bad('mesh_vpn.wireguard.peers.gw-1', function(wg)
	native(wg)
	wg.peers = { ['gw-1'] = wg.peers.gw1 }
end)
bad('mesh_vpn.pubkey_privacy', function(_, site) site.mesh_vpn.pubkey_privacy = true end)

-- Another provider's domain is not ours to check; a site without any is.
good("fastd's domain", WIREGUARD, function(site) site.mesh_vpn = { fastd = { mtu = 1312 }, enabled = true } end)
bad('mesh_vpn.wireguard', function(_, site) site.mesh_vpn = { enabled = true,
	bandwidth_limit = { enabled = false } } end)

-- A domain: Gluon's check sees lists of the site and of the domain mixed, and the site's value where the domain's is
-- empty; nodes do not.
local KEY2 = 'TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g='
local function domain_says(part, change, package)
	local site = example()
	if package == PARKER then
		site.mesh_vpn = { parker = { mtu = 1375 } }
		site.parker = {
			config_server = { 'config.example.org' },
			config_pubkey = 'RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7',
		}
	end
	if change then
		change(site.mesh_vpn.wireguard, site)
	end
	return sitecheck.check_domain(package or WIREGUARD, site, part)
end
local function domain_good(name, wireguard, change)
	local ok, err = domain_says({ mesh_vpn = wireguard and { wireguard = wireguard } }, change)
	lib.check('good domain: ' .. name, ok, err)
end
local function domain_bad(key, part, change, package)
	local ok, err = domain_says(part, change, package)
	if lib.check('broken domain: ' .. key, not ok, 'it passed') then
		lib.contains('broken domain: ' .. key .. ' is named', err, 'expected ' .. key .. ' to ')
		lib.contains('broken domain: ' .. key .. ': and the file', err, 'domains/city.conf')
		lib.check('broken domain: ' .. key .. ': one line', not err:find('\n'), err)
	end
end
local function link_local(wg) -- two gateways in a list
	for _, peer in ipairs(wg.peers) do
		peer.allowed_ips = { peer.link_address .. '/128', '2001:db8::/32' }
	end
end
local SECOND = { publickey = KEY2, endpoint = 'gw2.example.org:40011', link_address = 'fe80::27c:16ff:fec0:6c74' }
local function second(without, more)
	local peer = { allowed_ips = more }
	for k, v in pairs(SECOND) do
		peer[k] = k ~= without and v or nil
	end
	return { peers = { peer } }
end
domain_good('nothing of its own', nil)
domain_good('its own gateway, which is the second of the site', second())
domain_good('another broker', { broker = { 'https://c.example.org' } }, function(wg)
	wg.broker = { 'https://a.example.org', 'http://b.example.org' }
	wg.broker_pin = 'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
end)
domain_good('a switch that is off', { vxlan_checksum = false }, function(wg) wg.vxlan_checksum = true end)
for _, key in ipairs({ 'publickey', 'endpoint', 'link_address' }) do
	domain_bad('mesh_vpn.wireguard.peers.1.' .. key, { mesh_vpn = { wireguard = second(key) } })
end
local ok, err = domain_says({ mesh_vpn = { wireguard = second(nil, { '2001:db8::/32' }) } }, link_local)
lib.check('broken domain: allowed_ips', not ok and err:find('peers.1.allowed_ips', 1, true), err)
for _, key in ipairs({ 'peers', 'broker', 'loadbalancing' }) do
	for _, value in ipairs({ false, {} }) do
		domain_bad('mesh_vpn.wireguard.' .. key, { mesh_vpn = { wireguard = { [key] = value } } })
	end
end
domain_bad('mesh_vpn.wireguard', { mesh_vpn = { wireguard = false } })
domain_bad('mesh_vpn.wireguard', { mesh_vpn = { wireguard = {} } })
do
	local heard, stderr = '', io.stderr
	rawset(_G, 'wguplink_said', nil)
	io.stderr = { write = function(_, t) heard = heard .. t end } -- luacheck: ignore
	ok, err = domain_says({ mesh_vpn = {} })
	io.stderr = stderr -- luacheck: ignore
	lib.check('mesh_vpn = {} builds', ok, err)
	lib.contains('mesh_vpn = {} warns', heard, 'domains/city.conf: mesh_vpn = {} takes')
end
domain_bad('domain_seed', { domain_seed = false })
domain_bad('parker.config_pubkey', { parker = { config_pubkey = false } }, nil, PARKER)
domain_bad('ntp_servers', { ntp_servers = {} }, nil, PARKER)
domain_bad('parker.config_server', { parker = { config_server = {} } }, nil, PARKER)
domain_bad('mesh_vpn.parker.mtu', { mesh_vpn = { parker = {} } }, nil, PARKER)
