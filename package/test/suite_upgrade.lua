-- The upgrade script with the example site: what it writes, that it writes the same again, what it leaves to the user.

local lib = require 'lib'

-- As OpenWrt and Gluon leave a new node.
local NEW = {
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
	network = "\nconfig interface 'loopback'\n\toption proto 'static'\n",
	firewall = "\nconfig defaults\n\toption input 'REJECT'\n",
	['simple-tc'] = "\nconfig interface 'mesh_vpn'\n\toption ifname 'mesh-vpn'\n\toption enabled '1'\n",
}

local function config_check(name, root)
	local ok, out, err = root.run('wguplink config check')
	lib.check(name .. ': config check', ok, out .. err)
end

local function upgrade(name, root)
	local ok, out, err = root.upgrade()
	lib.check(name .. ': upgrade', ok and err == '', out .. err)
end

local root = lib.root(NEW)
upgrade('new node', root)
lib.golden('new.wguplink', root.file('/etc/config/wguplink'))
lib.golden('new.firewall', root.file('/etc/config/firewall'))
config_check('new node', root)
lib.check('the limits of simple-tc are gone', not root.file('/etc/config/simple-tc'):find('mesh_vpn'))
lib.equal('nothing is left staged', select(2, root.run('uci changes')), '')

-- Again: nothing changes.
local function all(r)
	local text = ''
	for _, package in ipairs({ 'wguplink', 'wguplink_site', 'firewall', 'gluon', 'network' }) do
		text = text .. '--- ' .. package .. '\n' .. r.file('/etc/config/' .. package)
	end
	return text
end
local before = all(root)
upgrade('second run', root)
lib.equal('a second run changes nothing', all(root), before)

-- What the user changed or added stays; what the site changed follows it.
assert(root.run([[
	uci set wguplink.mesh.location=Vienna
	uci set wguplink.mesh.address_family=only4
	uci set wguplink.mesh.mtu=1350
	uci set wguplink.mesh.vxlan_mtu=1280
	uci set wguplink.peer_2.endpoint=192.0.2.7:40011
	uci set wguplink.mine=gateway
	uci set wguplink.mine.public_key=igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg=
	uci set wguplink.mine.endpoint=gw.example.net:1234
	uci set wguplink.mine.link_address=fe80::5
	uci commit wguplink
]]))
local site = lib.read('site-example/site.conf'):gsub("broker.example.org", 'new.example.org')
	:gsub('%-%- rebalance', 'rebalance'):gsub("rebalance = 'off'", "rebalance = 'daily'")
root.put('/lib/gluon/site.conf', site)
upgrade('overrides', root)
lib.golden('overrides.wguplink', root.file('/etc/config/wguplink'))
config_check('overrides', root)
lib.contains('the user has to delete an override to lose it', select(2, root.run(
	'uci delete wguplink.mesh.mtu; uci delete wguplink.mesh.vxlan_mtu; uci commit; ' ..
	'/lib/gluon/upgrade/400-mesh-vpn-wguplink; uci get wguplink.mesh.mtu')), '1400')

-- Another domain: its gateways and its seed, and the user's own gateway.
root = lib.root(NEW)
upgrade('before the domain change', root)
assert(root.run('uci set wguplink.peer_1.endpoint=[2001:db8::77]:1; uci set wguplink.mesh.private_key=' ..
	'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA=; uci commit'))
root.put('/lib/gluon/domains/ffxx_land.conf', [[{
	domain_seed = '1111111111111111111111111111111111111111111111111111111111111111',
	mesh_vpn = { wireguard = { peers = {
		gw_land = {
			publickey = 'igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg=',
			endpoint = 'land.example.org:40011',
			link_address = 'fe80::77',
		},
	} } },
}]])
assert(root.run("uci set gluon.core.domain=ffxx_land; uci commit gluon"))
upgrade('domain change', root)
lib.golden('domain.wguplink', root.file('/etc/config/wguplink'))
config_check('domain change', root)

-- A gateway of the user's own that the site has, too, later on: the user's counts, as no two may have one key.
root = lib.root(NEW)
upgrade('before the double', root)
assert(root.run([[
	uci set wguplink.mine=gateway
	uci set wguplink.mine.uplink=mesh
	uci set wguplink.mine.public_key=igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg=
	uci set wguplink.mine.endpoint=gw.example.net:1234
	uci set wguplink.mine.link_address=fe80::5
	uci commit wguplink
]]))
root.put('/lib/gluon/domains/ffxx_city.conf', (lib.read('site-example/domains/ffxx_city.conf')
	:gsub('TszFS3oFRdhsJP3K0VOlklGMGYZy%+oFCtlaghXJqW2g=', 'igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg=')))
upgrade('double', root)
config_check('double', root)
lib.equal('double: the user\'s', select(2, root.run('uci get wguplink.mine.endpoint')), 'gw.example.net:1234\n')

-- Load balancing: the site's word, and the user's where the site leaves it open.
local function choice(word, user)
	local r = lib.root(NEW, (lib.read('site-example/site.conf'):gsub("'on%-by%-default'", "'" .. word .. "'")))
	if user then
		r.put('/etc/config/wireguard', "\nconfig wireguard 'mesh_vpn'\n\toption loadbalancing '" .. user .. "'\n")
	end
	upgrade('loadbalancing ' .. word, r)
	config_check('loadbalancing ' .. word, r)
	return (select(2, r.run('uci -q get wguplink.mesh.broker_choice')):gsub('\n', ''))
end
for _, case in ipairs({
	{ 'on', nil, '' }, { 'on', '0', '' }, { 'off', nil, '0' }, { 'off', '1', '0' },
	{ 'on-by-default', nil, '' }, { 'on-by-default', '0', '0' }, { 'on-by-default', '1', '' },
	{ 'off-by-default', nil, '0' }, { 'off-by-default', '0', '0' }, { 'off-by-default', '1', '' },
}) do
	lib.equal('loadbalancing ' .. case[1] .. ', user ' .. tostring(case[2]), choice(case[1], case[2]), case[3])
end

-- Gluon's dialect, Aachen's, and every key of ours that goes to UCI under its own name.
local function with(wireguard)
	local text = lib.read('site-example/site.conf'):gsub('wireguard = %b{}', function() return 'wireguard = ' ..
		wireguard end)
	local domain = lib.read('site-example/domains/ffxx_city.conf'):gsub('mesh_vpn = %b{},', '')
	return text, domain
end
local native = [[{
	mtu = 1330,
	peers = {
		gw1 = { public_key = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=', endpoint = 'gw1.example.org:51820' },
		gw2 = { public_key = 'TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g=', endpoint = 'gw2.example.org:51820' },
	},
}]]
root = lib.root(NEW, with(native))
upgrade('static', root)
lib.golden('static.wguplink', root.file('/etc/config/wguplink'))
lib.contains('static: firewall', root.file('/etc/config/firewall'), "option dest_port '4789'")
config_check('static', root)

root = lib.root(NEW, with((native:gsub('{', "{ broker = 'broker.example.org/api/add_key',", 1))))
upgrade('ffac', root)
lib.golden('ffac.wguplink', root.file('/etc/config/wguplink'))
config_check('ffac', root)

root = lib.root(NEW, with([[{
	mtu = 1330,
	protocol = 'wgkex',
	broker = { 'https://a.example.org', 'b.example.org' },
	broker_ca = '/etc/ca.pem',
	broker_pin = { 'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' },
	broker_timeout = 12,
	domain = 'other',
	location = 'Vienna',
	ntp_servers = { '192.0.2.1', 'ntp.example.org' },
	ntp_grace = 7,
	dns = { '192.0.2.53' },
	iface = 'wg_vpn',
	backend = 'kernel',
	keepalive = 20,
	fleet = 10000,
	address_family = 'prefer6',
	rebalance = 'daily',
	link_local = 'key',
	link_prefix = 128,
	vxlan_seed_key = 'gluon-mesh-vxlan',
	vxlan_port = 4789,
	vxlan_checksum = false,
	vxlan_id = 1906606,
}]]))
upgrade('every key', root)
lib.golden('every.wguplink', root.file('/etc/config/wguplink'))
lib.contains('every key: firewall', root.file('/etc/config/firewall'), "list device 'wg_vpn'")
config_check('every key', root)

-- The agent chooses the MTU, and Gluon's core leaves the device's own.
root = lib.root(NEW, with((native:gsub('mtu = 1330', "mtu = 'auto'"))))
upgrade('mtu auto', root)
config_check('mtu auto', root)
lib.equal('mtu auto', select(2, root.run('uci get wguplink.mesh.mtu; uci get wguplink.mesh.vxlan_mtu')), 'auto\nauto\n')
lib.equal('mtu auto: not for Gluon', select(2, root.run('uci -q get network.mesh_vpn.mtu')), '')

-- A domain that another provider serves.
root = lib.root(NEW, with('nil'))
assert(root.run('echo "config uplink mesh" >/etc/config/wguplink; uci set wguplink.mesh.enabled=1; uci commit'))
assert(root.run('/lib/gluon/upgrade/400-mesh-vpn-wguplink && uci commit'))
lib.equal('without wireguard in the site the uplink is off', select(2, root.run('uci get wguplink.mesh.enabled')),
	'0\n')

-- Two providers in one image: the one that Gluon's core takes decides, by the order of their names.
local function two(config)
	local both = lib.read('site-example/site.conf'):gsub('mesh_vpn = {', 'mesh_vpn = { fastd = { mtu = 1312 },', 1)
	local r = lib.root(NEW, both)
	assert(r.run([[mkdir -p /usr/lib/lua/gluon/mesh-vpn/provider; touch /lib/gluon/mesh-vpn/provider/fastd]]))
	r.put('/usr/lib/lua/gluon/mesh-vpn/provider/fastd.lua', [[
		local site = require 'gluon.site'
		return { active = function() return site.mesh_vpn.fastd() ~= nil end, mtu = function() return 1312 end,
			enable = function() end, set_limit = function() end, public_key = function() end,
			pubkey_privacy = function() return false end }
	]])
	for package, text in pairs(config) do
		r.put('/etc/config/' .. package, text)
	end
	return r
end
root = two({})
upgrade('fastd is chosen', root)
lib.equal('fastd is chosen: no uplink is written', select(2, root.run('uci -q get wguplink.mesh.protocol')), '')
root = two({ wguplink = "\nconfig uplink 'mesh'\n\toption enabled '1'\n\toption protocol 'static'\n" })
upgrade('fastd is chosen, WireGuard was', root)
lib.equal('fastd is chosen: ours is off', select(2, root.run('uci get wguplink.mesh.enabled')), '0\n')
lib.equal('fastd is chosen: no key is made', select(2, root.run('uci -q get wguplink.mesh.private_key')), '')
root.put('/lib/gluon/site.conf', lib.read('site-example/site.conf'))
upgrade('WireGuard again', root)
lib.equal('WireGuard again: ours is on', select(2, root.run('uci get wguplink.mesh.enabled')), '1\n')

-- A node that never had Munich's package: the user's word about load balancing.
root = lib.root(NEW)
upgrade('loadbalancing on a new node', root)
lib.check('loadbalancing on a new node: uci takes it', root.run(
	'uci set wireguard.mesh_vpn.loadbalancing=0 && uci commit wireguard'))
upgrade('loadbalancing on a new node, again', root)
lib.equal('loadbalancing on a new node', select(2, root.run('uci get wguplink.mesh.broker_choice')), '0\n')

-- The record of what the site wrote is lost, and the site has changed: only what a user can have meant stays.
root = lib.root(NEW)
upgrade('before the loss', root)
assert(root.run('uci set wguplink.mesh.address_family=only4; uci set wguplink.mesh.location=Vienna; ' ..
	'uci set wguplink.mesh.keepalive=20; uci commit wguplink; rm /etc/config/wguplink_site'))
local key = select(2, root.run('uci get wguplink.mesh.private_key'))
root.put('/lib/gluon/site.conf', (with(native)))
root.put('/lib/gluon/domains/ffxx_city.conf', "{ domain_seed = '" .. ('1'):rep(64) .. "' }")
upgrade('the record is lost', root)
for option, want in pairs({
	protocol = 'static', domain = '', broker = '', domain_seed = ('1'):rep(64), vxlan_port = '4789', link_local = 'key',
	vxlan_seed_key = 'gluon-mesh-vxlan', address_family = 'only4', keepalive = '20', location = 'Vienna',
}) do
	lib.equal('the record is lost: ' .. option,
		(select(2, root.run('uci -q get wguplink.mesh.' .. option)):gsub('\n', '')), want)
end
lib.equal('the record is lost: the key stays', select(2, root.run('uci get wguplink.mesh.private_key')), key)
lib.equal('the record is lost: old gateways go', select(2, root.run('uci -q get wguplink.peer_1')), '')
lib.equal('the record is lost: new ones come', select(2, root.run('uci get wguplink.gw1.link_address')), 'fe80::1\n')
lib.contains('a left-over that has no meaning is named', select(3, root.run('wguplink config check')), 'location')
lib.check('a left-over that has no meaning stops no node', root.run('wguplink key show mesh'))
