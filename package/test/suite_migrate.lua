-- A node that comes from another package: key and settings are taken over, and what it had stays where it was.

local lib = require 'lib'

local A = 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='
local B = 'aOBqBSKMYbcPVcLNiJWUGhdXXGPDBHOb4RiCbVmlFHI='
local FASTD = '70e5ae1d21b9b8cd2bb0b3d09cc1c8be5d5a6a6d5d6f3bf09ce50c86f3a0aa4f'

local MUNICH = lib.read('site-example/site.conf')
local CITY = lib.read('site-example/domains/ffxx_city.conf')
local function native(more)
	return (MUNICH:gsub('wireguard = %b{}', function()
		return [[wireguard = { mtu = 1330, ]] .. (more or '') .. [[ peers = {
			gw1 = { public_key = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=', endpoint = 'gw1.example.org:51820' },
		} }]]
	end)), (CITY:gsub('mesh_vpn = %b{},', ''))
end

local BASE = {
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n\nconfig mesh_vpn 'mesh_vpn'\n\toption enabled '1'\n",
	network = "\nconfig interface 'loopback'\n\toption proto 'static'\n",
	firewall = "\nconfig defaults\n\toption input 'REJECT'\n",
}
local function base(more)
	local t = {}
	for k, v in pairs(BASE) do
		t[k] = v
	end
	for k, v in pairs(more) do
		t[k] = v
	end
	return t
end

-- Upgrades, and starts the agent's part that takes a key over: "key show" must name the key that the node had.
local function migrate(name, config, site, domain)
	local root = lib.root(base(config), site, domain)
	local ok, out, err = root.upgrade()
	lib.check(name .. ': upgrade', ok, out .. err)
	local good, problems, more = root.run('wguplink config check')
	lib.check(name .. ': config check', good, problems .. more)
	for package, text in pairs(config) do
		if package ~= 'network_gluon-old' and package ~= 'simple-tc' then
			lib.equal(name .. ': ' .. package .. ' is as it was', root.file('/etc/config/' .. package), text)
		end
	end
	lib.golden(name .. '.wguplink', root.file('/etc/config/wguplink'))
	return root, err
end

local function get(root, place)
	return (select(2, root.run('uci -q get ' .. place)):gsub('\n$', ''))
end

-- Munich: the key stays where it is, and the agent looks there first. A preserved peer becomes a gateway.
local root = migrate('munich', {
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption iface 'wg_mesh'\n\toption enabled '1'\n\toption privatekey '" .. A ..
		"'\n\nconfig peer 'peer_1'\n\toption enabled '1'\n\toption endpoint 'gw1.example.org:40011'\n" ..
		"\toption publickey 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='\n\toption link_address 'fe80::1'\n" ..
		"\nconfig peer 'home'\n\toption preserve '1'\n\toption endpoint 'gw.example.net:1'\n" ..
		"\toption publickey 'igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg='\n\toption link_address 'fe80::9'\n" ..
		"\nconfig peer 'stale'\n\toption endpoint 'old.example.net:1'\n" ..
		"\toption publickey 'wmHOPjKpRrd8LFSnIi4IRHbkp2wrRQlUPUIGGRRFmHs='\n\toption link_address 'fe80::7'\n" ..
		"\nconfig peer 'broken'\n\toption preserve '1'\n\toption endpoint 'gw.example.net:1'\n\toption publickey 'x'\n",
}, MUNICH, CITY)
lib.equal('munich: the agent finds the key', get(root, 'wguplink.mesh.key_import'):match('^%S+'),
	'wireguard.mesh_vpn.privatekey')
lib.equal('munich: preserved peer', get(root, 'wguplink.home.link_address'), 'fe80::9')
lib.equal('munich: other peers are the site\'s', get(root, 'wguplink.peer_1.link_address'), 'fe80::2a6:8fff:fe21:5465')
lib.equal('munich: a peer that is not marked is not taken', get(root, 'wguplink.stale'), '')
lib.equal('munich: a peer without a key is not taken', get(root, 'wguplink.broken'), '')
-- The agent has the key now; the next update leaves it alone, and the adopted gateway as well.
assert(root.run('uci set wguplink.mesh.private_key=' .. A .. '; uci commit wguplink'))
assert(root.run('uci set network_gluon-old.wg_mesh=interface 2>/dev/null; true'))
local before = root.file('/etc/config/wguplink')
assert(root.upgrade())
lib.equal('munich: the next update changes nothing', root.file('/etc/config/wguplink'), before)

-- Gluon's own WireGuard: /etc/config/network is made anew before our script, so that the key has to be copied.
local function old_network(key)
	return "\nconfig interface 'wg_mesh'\n\toption proto 'wireguard'\n\toption private_key '" .. key .. "'\n"
end
root = migrate('native', {
	['network_gluon-old'] = old_network(A),
	wgpeerselector = "\nconfig peer 'gw1'\n\toption enabled '1'\n\toption endpoint 'gw1.example.org:51820'\n" ..
		"\toption public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='\n\tlist allowed_ips 'fe80::1/128'\n" ..
		"\toption ifname 'wg_mesh'\n\nconfig peer 'own'\n\toption preserve '1'\n\toption enabled '0'\n" ..
		"\toption endpoint 'gw.example.net:2'\n\toption public_key 'igyqOmWiz4EZxPG8ZzU537MnHhaqlwfa7HarB3KmnEg='\n" ..
		"\tlist allowed_ips 'fe80::1/128'\n\toption ifname 'wg_mesh'\n",
	['simple-tc'] = "\nconfig interface 'mesh_vpn'\n\toption enabled '1'\n\toption limit_egress '5'\n",
}, native())
lib.equal('native: the key is copied', get(root, 'wguplink.mesh.private_key'), A)
local _, public = root.run('wguplink key show mesh')
lib.check('native: the agent reads it', public:match('^' .. ('[%w+/]'):rep(43) .. '=\n$'), public)
lib.equal('native: preserved peer', get(root, 'wguplink.own.enabled'), '0')
-- With the old network gone, nothing is lost.
os.remove(root.path .. '/etc/config/network_gluon-old')
assert(root.upgrade())
lib.equal('native: the key stays', get(root, 'wguplink.mesh.private_key'), A)
-- Another key in an old network does not replace it.
root.put('/etc/config/network_gluon-old', old_network(B))
assert(root.upgrade())
lib.equal('native: the key is not replaced', get(root, 'wguplink.mesh.private_key'), A)

-- Who keeps the key in a file has one already.
root = lib.root(base({
	['network_gluon-old'] = old_network(A),
	wguplink = "\nconfig uplink 'mesh'\n\toption key_file '/etc/wguplink/mesh.key'\n",
}), native())
lib.check('key file: upgrade', root.upgrade())
lib.equal('key file: no second place', get(root, 'wguplink.mesh.private_key'), '')

-- "generate" is no key.
root = lib.root(base({ ['network_gluon-old'] = old_network('generate') }), native())
lib.check('generate: upgrade', root.upgrade())
lib.check('generate: a new key is made', get(root, 'wguplink.mesh.private_key'):match('^%S+=$'))

-- Aachen: Gluon's WireGuard with a registration.
root = migrate('aachen', {
	['network_gluon-old'] = old_network(A),
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption broker 'broker.example.org/api/add_key'\n",
}, native("broker = 'broker.example.org/api/add_key',"))
lib.equal('aachen: the key is copied', get(root, 'wguplink.mesh.private_key'), A)

-- fastd: the agent can read the secret itself.
root = migrate('fastd', {
	fastd = "\nconfig fastd 'mesh_vpn'\n\toption enabled '1'\n\toption secret '" .. FASTD .. "'\n",
}, native())
lib.contains('fastd: the agent finds the secret', get(root, 'wguplink.mesh.key_import'), 'fastd.mesh_vpn.secret')

-- The pair that the documentation of gluon-mesh-vpn-key-translate names: its public key for this secret.
root = lib.root(base({ fastd = "\nconfig fastd 'mesh_vpn'\n\toption secret " ..
	"'68c2cc80f95054b6edd70bb355142adc54d902c697fe1cedc898df71b79e4f76'\n" }), native())
assert(root.upgrade())
lib.equal('fastd: the public key that an operator computes', select(2, root.run('wguplink key show mesh')),
	'Gluon+LYDa2ib6EDnWlRELwrst1s1Ut7WKNR5LMI83c=\n')

-- Several old keys: the one of this site's predecessor.
root = lib.root(base({
	['network_gluon-old'] = old_network(B),
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption privatekey '" .. A .. "'\n",
}), MUNICH, CITY)
lib.check('two keys: upgrade', root.upgrade())
lib.equal('two keys, wgkex: Munich\'s wins', get(root, 'wguplink.mesh.private_key'), A)
root = lib.root(base({
	['network_gluon-old'] = old_network(B),
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption privatekey '" .. A .. "'\n",
}), native())
lib.check('two keys: upgrade', root.upgrade())
lib.equal('two keys, static: Gluon\'s wins', get(root, 'wguplink.mesh.private_key'), B)

-- A key that is none is left as it is, and out of the list: the agent would stop there.
root = lib.root(base({
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption privatekey 'not a key'\n",
	fastd = "\nconfig fastd 'mesh_vpn'\n\toption secret '" .. FASTD .. "'\n",
}), MUNICH, CITY)
local ok, _, err = root.upgrade()
lib.check('broken key: upgrade', ok)
lib.contains('broken key: it is named', err, 'wireguard.mesh_vpn.privatekey')
lib.check('broken key: it is not quoted', not err:find('not a key', 1, true))
lib.equal('broken key: the next one counts', get(root, 'wguplink.mesh.key_import'), 'fastd.mesh_vpn.secret')
lib.contains('broken key: it stays', root.file('/etc/config/wireguard'), 'not a key')

-- A half-configured node: no file, an empty one, one that uci cannot read, an uplink without options.
for name, text in pairs({
	empty = '',
	bare = "\nconfig uplink 'mesh'\n",
	['half-written'] = "\nconfig uplink 'mesh'\n\toption private_key '" .. A .. "'\n\toption mtu '12\n",
	disabled = "\nconfig uplink 'mesh'\n\toption enabled 'banana'\n\toption private_key '" .. A .. "'\n",
}) do
	root = lib.root(base({ wguplink = text }), MUNICH, CITY)
	ok, _, err = root.upgrade()
	lib.check(name .. ': upgrade', ok, err)
	local good, problems, more = root.run('wguplink config check')
	lib.check(name .. ': config check', good, problems .. more)
	lib.equal(name .. ': the VPN is on', get(root, 'wguplink.mesh.enabled'), '1')
	local key = get(root, 'wguplink.mesh.private_key')
	lib.check(name .. ': the key', text:find(A, 1, true) and key == A or not text:find(A, 1, true) and #key == 44, key)
	if name == 'half-written' then
		lib.contains(name .. ': it says so', err, '/etc/wguplink.broken')
		lib.equal(name .. ': the old file is kept', root.file('/etc/wguplink.broken'), text)
		local _, mode = lib.sh('stat -c %a ' .. root.path .. '/etc/config/wguplink')
		lib.equal(name .. ': the new one is for root only', mode, '600\n')
	end
end

-- The switch: other spellings, and packages that had one of their own.
local function switch(config)
	local r = lib.root(base(config), MUNICH, CITY)
	local good, out, problem = r.upgrade()
	lib.check('switch: upgrade', good, out .. problem)
	return get(r, 'gluon.mesh_vpn.enabled') .. get(r, 'wguplink.mesh.enabled')
end
local CORE = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n"
local function gluon(value)
	return { gluon = CORE .. "\nconfig mesh_vpn 'mesh_vpn'\n\toption enabled '" .. value .. "'\n" }
end
lib.equal('switch true', switch(gluon('true')), '11')
lib.equal('switch 0', switch(gluon('0')), '00')
lib.equal('switch false', switch(gluon('false')), '00')
lib.equal('switch of Munich\'s', switch({ gluon = CORE,
	wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption enabled 'true'\n" }), '11')
lib.equal('switch of fastd\'s', switch({ gluon = CORE, fastd = "\nconfig fastd 'mesh_vpn'\n\toption enabled '1'\n" }),
	'11')
lib.equal('no switch: the site\'s', switch({ gluon = CORE }), '11')

-- The first boot, after a migration or without one: the wizard's last page asks the provider, and no agent has run.
local function wizard(r)
	return (select(2, r.run("lua -e 'print(require(\"gluon.mesh-vpn.provider.wireguard\").public_key())'")):gsub('\n$',
		''))
end
for name, config in pairs({
	munich = { wireguard = "\nconfig wireguard 'mesh_vpn'\n\toption privatekey '" .. A .. "'\n" },
	native = { ['network_gluon-old'] = old_network(A) },
	fastd = { fastd = "\nconfig fastd 'mesh_vpn'\n\toption secret '" .. FASTD .. "'\n" },
	['a new node'] = {},
}) do
	local r
	if name == 'munich' then
		r = lib.root(base(config), MUNICH, CITY)
	else
		r = lib.root(base(config), native())
	end
	assert(r.upgrade())
	local key = wizard(r)
	lib.equal(name .. ': the wizard shows the key that the agent has', key .. '\n',
		select(2, r.run('wguplink key show mesh')))
	lib.check(name .. ': it is a key', #key == 44, key)
	if name == 'munich' or name == 'native' then
		lib.equal(name .. ': it is the old one', get(r, 'wguplink.mesh.private_key'), A)
	end
	lib.equal(name .. ': it stays', wizard(r), key)
end

-- The way back: what an older image's own script finds after Gluon has put /etc/config/network aside.
local function back(r)
	assert(r.run('mv /etc/config/network /etc/config/network_gluon-old; touch /etc/config/network'))
	return get(r, 'network_gluon-old.wg_mesh.private_key')
end
local function mode(r, package)
	return (select(2, lib.sh('stat -c %a ' .. r.path .. '/etc/config/' .. package)):gsub('\n', ''))
end
local function copy_type(r)
	return get(r, 'network.wg_mesh')
end
for name, more in pairs({ static = '', ffac = "broker = 'broker.example.org/api/add_key'," }) do
	root = lib.root(base({}), native(more))
	assert(root.upgrade())
	local key = get(root, 'wguplink.mesh.private_key')
	lib.equal(name .. ': netifd knows no such section', copy_type(root), 'wguplink_key')
	lib.equal(name .. ': the copy is for root only', mode(root, 'network'), '600')
	local file = root.file('/etc/config/network')
	assert(root.upgrade())
	lib.equal(name .. ': a second run changes nothing', root.file('/etc/config/network'), file)

	-- Another key, by the owner: the next start of the service writes the copy anew.
	assert(root.run('uci set wguplink.mesh.private_key=' .. B .. '; uci commit wguplink; ' ..
		'/lib/gluon/mesh-vpn/wguplink-keep-key'))
	lib.equal(name .. ': the copy follows', get(root, 'network.wg_mesh.private_key'), B)
	-- A copy is not imported while there is a key, nor after the owner has deleted it.
	assert(root.run('uci delete wguplink.mesh.private_key; uci commit wguplink; /lib/gluon/mesh-vpn/wguplink-keep-key'))
	local made = get(root, 'wguplink.mesh.private_key')
	lib.check(name .. ': a deleted key does not come back', #made == 44 and made ~= B and made ~= key, made)
	lib.equal(name .. ': the copy is the new one', get(root, 'network.wg_mesh.private_key'), made)
	-- Uncommitted changes of another program stay uncommitted.
	assert(root.run('uci set network.loopback.mtu=1; uci set wguplink.mesh.private_key=' .. A ..
		'; uci commit wguplink'))
	root.run('/lib/gluon/mesh-vpn/wguplink-keep-key')
	lib.contains(name .. ': uncommitted changes stay so', select(2, root.run('uci changes')), 'network.loopback.mtu')
	assert(root.run('uci revert network; /lib/gluon/mesh-vpn/wguplink-keep-key'))
	lib.equal(name .. ': an older image finds the key', back(root), A)
end

-- A section of that name that another program has made.
root = lib.root(base({ network = BASE.network .. "\nconfig interface 'wg_mesh'\n\toption proto 'none'\n" }), native())
assert(root.upgrade())
lib.equal('an interface of that name is left alone', get(root, 'network.wg_mesh.private_key') .. copy_type(root),
	'interface')

-- Munich: a node that has got its first key from wguplink, and goes to another kind of domain.
root = lib.root(base({}), MUNICH, CITY)
assert(root.upgrade())
lib.equal('munich: the copy', get(root, 'wireguard.mesh_vpn.privatekey'), get(root, 'wguplink.mesh.private_key'))
lib.equal('munich: for root only', mode(root, 'wireguard'), '600')
lib.equal('munich: nothing for Gluon\'s own', copy_type(root), '')
assert(root.run('uci set wireguard.mesh_vpn.loadbalancing=0; uci commit wireguard'))
local site, domain = native()
root.put('/lib/gluon/site.conf', site)
root.put('/lib/gluon/domains/ffxx_city.conf', domain)
assert(root.upgrade())
lib.equal('munich, then static: the copy has moved', get(root, 'wireguard.mesh_vpn.privatekey') ..
	get(root, 'network.wg_mesh.private_key'), get(root, 'wguplink.mesh.private_key'))
lib.equal('munich, then static: the user\'s word stays', get(root, 'wireguard.mesh_vpn.loadbalancing'), '0')

-- What is left of our firewall lets the older image's VXLAN in.
lib.contains('the rule that stays', root.file('/etc/config/firewall'), "option dest_port '4789'")
