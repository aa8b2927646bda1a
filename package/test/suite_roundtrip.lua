-- A node that goes from WireGuard to Parker and back: every file of UCI is then what it was, byte for byte, and the
-- firewall never opens. With Gluon's part of an upgrade before ours (stubs/lua/gluon_own.lua), and the hook's work in
-- between.

local lib = require 'lib'
local site = require 'parkersite'

local KEY = 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='

-- A new node, as OpenWrt makes it.
local NODE = {
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
	network = "\nconfig interface 'loopback'\n\toption proto 'static'\n",
	firewall = "\nconfig defaults\n\toption syn_flood '1'\n\toption input 'REJECT'\n\toption output 'ACCEPT'\n" ..
		"\toption forward 'REJECT'\n\nconfig zone\n\toption name 'lan'\n\tlist network 'lan'\n\toption input 'ACCEPT'\n" ..
		"\toption output 'ACCEPT'\n\toption forward 'ACCEPT'\n\nconfig zone\n\toption name 'wan'\n\tlist network 'wan'\n" ..
		"\tlist network 'wan6'\n\toption input 'REJECT'\n\toption output 'ACCEPT'\n\toption forward 'REJECT'\n" ..
		"\toption masq '1'\n\toption mtu_fix '1'\n\nconfig forwarding\n\toption src 'lan'\n\toption dest 'wan'\n",
	dhcp = "\nconfig dnsmasq\n\toption domainneeded '1'\n\toption domain 'lan'\n\nconfig dhcp 'lan'\n" ..
		"\toption interface 'lan'\n\toption start '100'\n",
}

local function with(more)
	local t = {}
	for k, v in pairs(NODE) do
		t[k] = v
	end
	for k, v in pairs(more or {}) do
		t[k] = v
	end
	return t
end

local function upgrade(name, root)
	local ok, out, err = root.reconfigure()
	lib.check(name .. ': upgrade', ok and err == '', out .. err)
	local good, problems, more = root.run('wguplink config check')
	lib.check(name .. ': config check', good, problems .. more)
	lib.equal(name .. ': nothing is left staged', select(2, root.run('uci changes')), '')
end

local function to(root, which)
	root.put('/lib/gluon/site.conf', which == 'parker' and site.PARKER or site.WIREGUARD)
	root.put('/lib/gluon/domains/ffxx_city.conf', which == 'parker' and site.PARKER_DOMAIN or site.WIREGUARD_DOMAIN)
end

local function hook(root, event)
	root.put('/run/calls', '')
	local ok, out, err = root.run("env WGUPLINK_UPLINK=mesh WGUPLINK_PROTOCOL=parker WGUPLINK_EVENT=" .. event ..
		" WGUPLINK_ADDRESS4=10.1.64.1 WGUPLINK_RANGE4=10.1.64.0/22 WGUPLINK_ADDRESS6=2001:db8:1::1 WGUPLINK_MTU=1375" ..
		" WGUPLINK_RANGE6=2001:db8:1::/64 /etc/wguplink/hooks.d/50-parker-client </dev/null")
	return ok, out .. err
end

local function node(config)
	local root = lib.root(config, site.WIREGUARD, site.WIREGUARD_DOMAIN)
	assert(lib.sh('cd ' .. root.path .. ' && mkfifo run/events run/forever'))
	root.put('/etc/init.d/wguplink-parker-radvd', '#!/bin/sh\n')
	assert(lib.sh('chmod 755 ' .. root.path .. '/etc/init.d/wguplink-parker-radvd'))
	root.put('/run/netifd', '{"up": true, "proto": "dhcp", "ipv4-address": []}\n')
	return root
end

local function closed(name, root)
	local function get(place)
		return (select(2, root.run('uci -q get firewall.' .. place)):gsub('\n', ''))
	end
	for place, want in pairs({
		['@defaults[0].forward'] = 'REJECT', ['@defaults[0].input'] = 'REJECT', ['@zone[1].input'] = 'REJECT',
		['@zone[1].forward'] = 'REJECT', ['loc_client.forward'] = 'REJECT', ['loc_client.input'] = 'REJECT',
		['mesh.forward'] = 'REJECT', ['mesh.input'] = 'REJECT',
	}) do
		lib.equal(name .. ': ' .. place, get(place), want)
	end
end

-- What a user may have there. None of it is ours to change.
local USERS = with({
	dhcp = NODE.dhcp .. "\nconfig dhcp 'client'\n\toption interface 'client'\n" ..
		"\tlist dhcp_option 'option:router,10.0.0.1'\n",
	firewall = NODE.firewall .. "\nconfig rule 'mine'\n\toption src 'mesh'\n\toption dest_port '2222'\n" ..
		"\toption target 'ACCEPT'\n",
})
USERS.dhcp = USERS.dhcp:gsub("option domain 'lan'", "option domain 'lan'\n\tlist notinterface 'tun0'")

for name, config in pairs({ ['a new node'] = NODE, ["a user's node"] = USERS }) do
	local root = node(config)
	upgrade(name .. ': WireGuard', root)
	assert(root.run('uci set wguplink.mesh.private_key=' .. KEY .. '; uci commit wguplink'))
	upgrade(name .. ': WireGuard again', root)
	closed(name .. ': before', root)
	if name == 'a new node' then
		lib.golden('wireguard.firewall', root.file('/etc/config/firewall'))
	end
	local before = root.configuration()

	for round = 1, 2 do
		local step = name .. ', round ' .. round
		to(root, 'parker')
		upgrade(step .. ': Parker', root)
		closed(step .. ': during', root)
		lib.contains(step .. ': sysctl', root.file('/etc/sysctl.d/40-wguplink-parker.conf') or '',
			'br-client.forwarding=1')
		local ok, out = hook(root, 'up')
		lib.check(step .. ': a tunnel comes', ok, out)
		lib.contains(step .. ': the node is a gateway', root.file('/etc/config/network'), "gw_mode 'server'")
		closed(step .. ': with a tunnel', root)
		if name == 'a new node' then
			lib.golden('routing.firewall', root.file('/etc/config/firewall'))
			lib.golden('routing.dhcp', root.file('/etc/config/dhcp'))
		end
		if round == 2 then
			ok, out = hook(root, 'down')
			lib.check(step .. ': it goes', ok, out)
			-- An upgrade of Parker by Parker.
			upgrade(step .. ': Parker again', root)
		end

		to(root, 'wireguard')
		upgrade(step .. ': back', root)
		lib.equal(step .. ': every file is as it was', root.configuration(), before)
		lib.check(step .. ': no sysctl', not root.file('/etc/sysctl.d/40-wguplink-parker.conf'))

		-- The agent stops after the upgrade, and its last word to the hook is of Parker: it must not reach UCI.
		ok, out = hook(root, 'down')
		lib.check(step .. ': the last down', ok, out)
		lib.equal(step .. ': the last down changes no file', root.configuration(), before)
	end
end

-- A node of the original's, whose package had opened the firewall, and an image without Parker's package.
local ORIGINAL = {
	firewall = NODE.firewall:gsub("option forward 'REJECT'", "option forward 'ACCEPT'")
		:gsub("(syn_flood '1'\n\toption input) 'REJECT'", "%1 'ACCEPT'") ..
		"\nconfig zone 'loc_client'\n\toption name 'loc_client'\n\toption input 'ACCEPT'\n\toption output 'ACCEPT'\n" ..
		"\toption forward 'ACCEPT'\n\nconfig rule 'mesh_dns_parker'\n\toption dest_port '53'\n\toption src 'mesh'\n" ..
		"\toption target 'ACCEPT'\n\toption proto 'tcpudp'\n\nconfig zone 'vpn_parker'\n\toption device 'wg_c+'\n" ..
		"\toption name 'vpn_parker'\n\nconfig forwarding 'mesh_vpn_parker'\n" ..
		"\toption src 'mesh'\n\toption dest 'vpn_parker'\n",
	dhcp = NODE.dhcp:gsub("option domain 'lan'", "option domain 'lan'\n\tlist notinterface 'wg_c*'") ..
		"\nconfig dhcp 'client'\n\toption interface 'client'\n\toption leasetime '3m'\n\toption start '2'\n" ..
		"\toption limit '1022'\n\toption force '1'\n\tlist dhcp_option 'option:ntp-server,ntp1.example.org'\n" ..
		"\tlist dhcp_option 'option:mtu,1375'\n" ..
		"\nconfig vendorclass 'parker_unifi'\n\toption vendorclass 'ubnt'\n",
	network = "\nconfig interface 'gluon_bat0'\n\toption gw_mode 'server'\n\nconfig rule 'wan_skip'\n" ..
		"\toption priority '15000'\n",
	gluon = NODE.gluon,
	parker = "\nconfig nodeconfig 'nodeconfig'\n\toption config_server 'config.example.org'\n" ..
		"\nconfig client 'client'\n\toption address4 '10.1.64.3'\n\toption range4 '10.1.64.0/22'\n",
}
local function without_parker(root)
	assert(root.run([[
		rm -r /etc/wguplink/hooks.d /lib/gluon/upgrade/*parker-wguplink* /lib/gluon/mesh-vpn/provider/parker
		rm /usr/lib/lua/gluon/mesh-vpn/provider/parker.lua
	]]))
	root.put('/usr/lib/lua/core500.lua', (lib.read('package/test/stubs/lua/core500.lua'):gsub("'parker', ", '')))
end
local fresh = node(with({ parker = "\nconfig nodeconfig 'nodeconfig'\n\toption config_server 'config.example.org'\n" }))
upgrade('never Parker', fresh)
local root = node(ORIGINAL)
without_parker(root)
upgrade('from the original to WireGuard', root)
closed('from the original to WireGuard', root)
lib.equal('from the original to WireGuard: dhcp', root.file('/etc/config/dhcp'), fresh.file('/etc/config/dhcp'))
lib.equal('from the original to WireGuard: network', root.file('/etc/config/network'),
	fresh.file('/etc/config/network'))
lib.equal('from the original to WireGuard: parker', root.file('/etc/config/parker'),
	ORIGINAL.parker:match("^.-example.org'\n") .. '\n')
lib.check('from the original to WireGuard: no zone of Parker\'s', not root.file('/etc/config/firewall'):find('parker'))

-- The same node with our Parker.
root = node(ORIGINAL)
to(root, 'parker')
upgrade('from the original to Parker', root)
closed('from the original to Parker', root)
lib.check('from the original to Parker: no time server with a name', not root.file('/etc/config/dhcp'):find('ntp1'))

-- A user who opens the firewall of a node that has nothing of Parker's keeps it so.
root = node(with({ firewall = NODE.firewall:gsub("option forward 'REJECT'", "option forward 'ACCEPT'") }))
upgrade('open', root)
lib.equal('a node that never had Parker is left alone', select(2, root.run('uci get firewall.@defaults[0].forward')),
	'ACCEPT\n')
