-- The respondd shim, through a real socket to testbed/ubusd, with the agent's object on it.

local lib = require 'lib'

local CONFIG = {
	gluon = "\nconfig mesh_vpn 'mesh_vpn'\n\toption enabled '1'\n",
	wguplink = "\nconfig uplink 'mesh'\n\nconfig gateway 'gw1'\n\toption uplink 'mesh'\n\nconfig gateway 'gw2'\n" ..
		"\nconfig gateway 'gw3'\n\toption enabled '0'\n\nconfig gateway 'other'\n\toption uplink 'second'\n",
}
local KEY = 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
local CONNECTED = [[{"uplink": "mesh", "state": "connected", "interface": "wg_mesh", "backend": "kernel",
	"connected_for": 4000, "public_key": "]] .. KEY .. [[", "gateway": {"name": "gw1", "public_key": "x",
	"rx_bytes": 99999999999}}]]
local SEARCHING = [[{"uplink": "mesh", "state": "connecting", "cause": "no_handshake", "reason": "no gateway \"answers\"",
	"interface": "wg_mesh", "backend": "userspace", "public_key": "]] .. KEY .. [["}]]
local SECOND = [[{"uplink": "second", "state": "connected", "interface": "wg2", "connected_for": 5, "backend": "userspace",
	"gateway": {"name": "far"}}]]

-- Starts the daemon, asks for statistics and nodeinfo, and ends it.
local function ask(config, snapshots, mute)
	local root = lib.root(config)
	local names = {}
	for i, s in ipairs(snapshots) do
		names[i] = lib.tmp .. '/snapshot' .. i .. '.json'
		lib.write(names[i], s)
	end
	local chroot = 'env LD_LIBRARY_PATH= chroot ' .. root.path ..
		' /bin/env LD_LIBRARY_PATH=/lib/standin /usr/bin/ask /usr/lib/respondd/gluon-mesh-vpn-wguplink.so '
	local ok, out, err = lib.sh(string.format([[
		cd %s
		mkfifo in out
		%s/bin/ubus %s %s/var/run/ubus/ubus.sock %s <in >out &
		exec 3>in
		read -r ready <out
		[ "$ready" = ready ] || exit 1
		%s statistics || exit 1
		%s nodeinfo || exit 1
		exec 3>&-
		wait]], root.path, lib.tmp, mute and '-mute' or '', root.path, table.concat(names, ' '), chroot, chroot))
	lib.check('ask', ok, err)
	-- json-c writes / as \/, which is the same.
	return out:gsub('\\/', '/'):match('^(.-)\n(.-)\n$')
end

-- The time cannot be known to the second.
local function established(text, at_least)
	return (text:gsub('"established":(%d+)%.0', function(n)
		lib.check('established', tonumber(n) >= at_least and tonumber(n) < at_least + 60, n)
		return '"established":N'
	end))
end

local statistics, nodeinfo, _ = ask(CONFIG, { CONNECTED })
lib.equal('connected', established(statistics, 4000), '{"mesh_vpn":{"groups":{"mesh":{"peers":{' ..
	'"gw1":{"established":N,"method":"kernel"},"gw2":null}}},"gateway":"gw1","backend":"kernel","state":"connected"}}')
-- The version is that of the kernel's module, if there is one; the chroot has no /sys.
lib.equal('nodeinfo', nodeinfo, '{"software":{"wireguard":{"enabled":true,"public_key":"' .. KEY .. '"}}}')

statistics = ask(CONFIG, { SEARCHING })
lib.equal('searching', statistics, '{"mesh_vpn":{"groups":{"mesh":{"peers":{"gw1":null,"gw2":null},' ..
	'"groups":{"reason":{"peers":{"no_handshake: no gateway \\"answers\\"":null}}}}},' ..
	'"backend":"userspace","state":"connecting","cause":"no_handshake","reason":"no gateway \\"answers\\""}}')

-- After an update without a tunnel.
statistics = ask(CONFIG, { (SEARCHING:gsub('"interface"', '"stranded": true, "interface"', 1)) })
lib.contains('stranded', statistics, '"reason":"no gateway \\"answers\\"","stranded":true}}')

-- A gateway that the broker named is in no configuration. Two uplinks are two groups.
statistics = ask(CONFIG, { SECOND })
lib.equal('a second uplink', established(statistics, 5), '{"mesh_vpn":{"groups":{"second":{"peers":{' ..
	'"gw2":null,"other":null,"far":{"established":N,' ..
	'"method":"userspace"}}}},"gateway":"far","backend":"userspace","state":"connected"}}')
statistics = ask(CONFIG, { SEARCHING, SECOND })
lib.contains('two uplinks: both are there', statistics, '"mesh":{"peers":{"gw1":null,"gw2":null},"groups":{"reason":')
lib.contains('two uplinks: the connected one speaks', statistics,
	'"gateway":"far","backend":"userspace","state":"connected"}}')

statistics = ask(CONFIG, { CONNECTED, SECOND })
lib.contains('two uplinks: the first connected one speaks', statistics,
	'"gateway":"gw1","backend":"kernel","state":"connected"}}')

-- Parker's gateways come with the signed configuration.
local tunnels = [[{"interface": "wg_c2", "gateway": "gw2"}, {"interface": "wg_c1", "gateway": "gw1"}]]
statistics = ask({ gluon = CONFIG.gluon, wguplink = "\nconfig uplink 'mesh'\n" },
	{ (CONNECTED:gsub('}}$', '}, "network": {"id": "7", "tunnels": [' .. tunnels .. ']}}')) })
lib.contains('parker', established(statistics, 4000), '"peers":{"gw2":null,"gw1":{"established":N,"method":"kernel"}}')

-- A moment that takes 64 bits, and is still to come, as after a fault of the clock: never a time below zero.
statistics = ask(CONFIG, { (CONNECTED:gsub('4000', '-3000000')) })
lib.contains('a moment to come', statistics, '"gw1":{"established":0.0,"method":"kernel"}')

-- No uplink, no configuration.
statistics = ask({}, {})
lib.equal('no uplink', statistics, '{"mesh_vpn":{"groups":{}}}')

-- The agent itself, with what the upgrade makes of the example, in a network of its own without a way out.
do
	local root = lib.root({ gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n", network = '',
		firewall = '' })
	assert(root.upgrade())
	local ok, out, err = lib.sh(string.format([[
		cd %s
		mkfifo in out log
		mkdir proc
		%s/bin/ubus -alone %s/var/run/ubus/ubus.sock <in >out &
		exec 3>in
		unshare -nm sh -c 'mount -t proc proc proc && exec chroot . /usr/bin/wguplink run' 3>&- 2>log &
		agent=$!
		exec 4<log
		read -r ready <out
		[ "$ready" = ready ] || exit 1
		while read -r line <&4; do # until the status is more than that it has begun
			echo "$line" >>agent.log
			case $line in *cause=*) break ;; esac
		done
		cat <&4 >>agent.log &
		exec 4<&-
		for request in statistics nodeinfo; do
			env LD_LIBRARY_PATH= chroot . /bin/env LD_LIBRARY_PATH=/lib/standin \
				/usr/bin/ask /usr/lib/respondd/gluon-mesh-vpn-wguplink.so $request || exit 1
		done
		kill $agent
		wait $agent
		exec 3>&-
		wait]], root.path, lib.tmp, root.path))
	lib.check('agent', ok, err .. (root.file('/agent.log') or ''))
	lib.contains('agent: gateways', out, '"groups":{"mesh":{"peers":{"peer_1":null,"peer_2":null},"groups":{"reason":')
	-- The cause depends on the machine: no kernel WireGuard, or no way out.
	lib.contains('agent: not connected', out, '"state":"connecting","cause":"')
	lib.contains('agent: the reason in words', out, '"reason":"')
	-- It has made a key by now, and tells the public one.
	local _, public = root.run('wguplink key show mesh')
	lib.contains('agent: its key', (out:gsub('\\/', '/')), '"public_key":"' .. (public:gsub('\n', '')) .. '"')
end

-- Switched off: the key is not told.
_, nodeinfo = ask({ gluon = "\nconfig mesh_vpn 'mesh_vpn'\n\toption enabled '0'\n" }, { CONNECTED })
lib.equal('off', nodeinfo, '{"software":{"wireguard":{"enabled":false}}}')

-- An agent that does not answer, and none at all: respondd answers all the same.
statistics, nodeinfo = ask(CONFIG, { CONNECTED }, true)
lib.equal('no answer: statistics', statistics, '{}')
lib.equal('no answer: nodeinfo', nodeinfo, '{"software":{"wireguard":{"enabled":true}}}')
local root = lib.root(CONFIG)
local out
_, out = root.run('ask /usr/lib/respondd/gluon-mesh-vpn-wguplink.so statistics')
lib.equal('no ubusd', out, '{}\n')

-- The routes by Parker's tunnels, as Linux 6.18 lists them.
local function hex6(length, hop, metric, flags, device)
	local zero = ('0'):rep(32)
	return zero .. ' ' .. length .. ' ' .. zero .. ' 00 ' .. hop .. ' ' .. metric .. ' 00000001 00000000 ' .. flags ..
		('%9s'):format(device) .. '\n'
end
local TUNNEL4 = 'wg_c1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n'
local WAN4 = 'br-wan\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n'
local HEAD4 = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n'
local UNREACHABLE4 = '*\t00000000\t00000000\t0201\t0\t0\t65535\t00000000\t0\t0\t0\n'
local HOP = 'fe800000000000000000000000000002'
local TUNNEL6 = hex6('00', HOP, '00000200', '00000003', 'wg_c1')
local WAN6 = hex6('00', HOP, '00000200', '00000003', 'br-wan')
local UNREACHABLE6 = hex6('00', ('0'):rep(32), '0000ffff', '00200200', 'lo')
local function routes(four, six)
	local box = lib.root(CONFIG)
	assert(lib.sh('mkdir -p ' .. box.path .. '/proc/net'))
	if four then
		box.put('/proc/net/route', HEAD4 .. four)
		box.put('/proc/net/ipv6_route', six)
	end
	local good, said, why = box.run('/usr/bin/ask /usr/lib/respondd/gluon-mesh-vpn-wguplink.so statistics')
	lib.check('ask for routes', good, why)
	return (said:gsub('\\/', '/'))
end
local BOTH = '{"gateway6":"fe80::2","gateway_nexthop":"wg_c1","gateway":"10.0.0.1"}\n'
lib.equal('routes by a tunnel', routes(TUNNEL4 .. UNREACHABLE4, TUNNEL6 .. UNREACHABLE6), BOTH)
lib.equal('routes beside those of others', routes(WAN4 .. TUNNEL4, WAN6 .. TUNNEL6), BOTH)
lib.equal('IPv6 alone', routes(UNREACHABLE4, TUNNEL6), '{"gateway6":"fe80::2","gateway_nexthop":"wg_c1"}\n')
lib.equal('IPv4 alone is not told', routes(TUNNEL4, UNREACHABLE6), '{}\n')
lib.equal('no tunnel', routes(WAN4, WAN6), '{}\n')
lib.equal('not a default route', routes(TUNNEL4, hex6('40', HOP, '00000200', '00000003', 'wg_c1')), '{}\n')
lib.equal('no such files', routes(), '{}\n')

-- Without an agent respondd tells the key that the program said at the start of the service, while the configuration is
-- the same. It never starts the program.
do
	local box = lib.root { gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n" .. CONFIG.gluon,
		wguplink = "\nconfig uplink 'mesh'\n\toption vxlan_id '5'\n\toption private_key " ..
		"'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='\n\nconfig gateway 'gw1'\n\toption uplink 'mesh'\n" ..
		"\toption public_key '" .. KEY ..
			"'\n\toption endpoint 'gw1.example.org:1'\n\toption link_address 'fe80::1'\n" }
	local _, public = box.run('wguplink key show mesh')
	local starts = box.count_starts()
	local function nodeinfo_of()
		local good, said, why = box.run('ask /usr/lib/respondd/gluon-mesh-vpn-wguplink.so nodeinfo')
		lib.check('ask for nodeinfo', good, why)
		return (said:gsub('\\/', '/'))
	end
	local NONE = '{"software":{"wireguard":{"enabled":true}}}\n'
	lib.equal('no agent, and no start of the service yet', nodeinfo_of(), NONE)
	lib.check('start of the service', box.run('/lib/gluon/mesh-vpn/wguplink-keep-key'))
	local count = starts()
	lib.equal('agent stopped: the public key', nodeinfo_of(),
		'{"software":{"wireguard":{"enabled":true,"public_key":"' .. public:gsub('\n', '') .. '"}}}\n')
	box.run('touch -d 2030-01-01 /etc/config/wguplink')
	lib.equal('agent stopped: a newer configuration', nodeinfo_of(), NONE)
	box.put('/var/run/wguplink.public-key', ('x'):rep(200) .. ' ' .. ('y'):rep(200))
	box.run('touch -d 2031-01-01 /var/run/wguplink.public-key')
	lib.equal('agent stopped: no key, no word', nodeinfo_of(), NONE)
	lib.equal('respondd starts the program', starts() - count, 0)
end

-- Answers that lie about their lengths: nothing is read beyond them.
do
	local folder = 'package/test/respondd'
	local ok, text, err = lib.sh(string.format(
		'cc -g -fsanitize=address,undefined -fno-sanitize-recover=all -Wall -Wextra -Werror -I%s/include ' ..
		'-o %s/hostile %s/hostile.c %s/ubus.c %s/uci.c -ljson-c ' ..
		'&& ASAN_OPTIONS=detect_leaks=0 %s/hostile', folder, lib.tmp, folder, folder, folder, lib.tmp))
	lib.check('hostile answers', ok, text .. err)
end

-- Whole answers, whose types testbed/docs holds against what a map's collector wants.
do
	local lines = {}
	for _, snapshots in ipairs { { CONNECTED }, { SEARCHING }, { CONNECTED, SECOND }, {} } do
		local said, info = ask(CONFIG, snapshots)
		said = said:gsub('"established":%d+%.0', '"established":4000.0')
		lines[#lines + 1] = '{"statistics":' .. said .. ',"nodeinfo":' .. info .. '}'
	end
	lib.golden('respondd.answers', table.concat(lines, '\n') .. '\n')
end
