-- Nodes that have the same address: who moves, when, and where to; and the watch that has it done. And frames for the
-- next-node address.

local lib = require 'lib'
package.path = 'package/gluon-mesh-vpn-parker-wguplink/luasrc/usr/lib/lua/?.lua;' .. package.path
local address = require 'gluon.mesh-vpn.wguplink_address'

local LOW, HIGH = '02:00:00:00:00:01', 'f2:00:00:00:00:ff'

-- The rule by hand: 5381, times 33 and the letter, modulo 2^31 - 1. All numbers stay below 2^53.
local function djb2(text)
	local h = 5381
	for i = 1, #text do
		h = (h * 33 + text:byte(i)) % 2147483647
	end
	return h
end
local STEP = { [0] = 1, 2, 4, 7, 8, 11, 13, 14 }
for _, mac in ipairs({ LOW, HIGH, '00:11:22:33:44:55', 'AA:BB:CC:DD:EE:FF' }) do
	local h = djb2(mac:lower())
	local seen, count, at = {}, 0, '10.1.64.1'
	for k = 0, 14 do
		local want = '10.1.64.' .. 2 + (h + k * STEP[math.floor(h / 15) % 8]) % 15
		lib.equal(mac .. ': candidate ' .. k, address.candidate('10.1.64.0/22', mac, k), want)
		at = address.next_address('10.1.64.0/22', mac, at)
		lib.equal(mac .. ': step ' .. k, at, want)
		count = count + (seen[at] and 0 or 1)
		seen[at] = true
	end
	lib.equal(mac .. ': fifteen addresses', count, 15)
	lib.equal(mac .. ': and from the start again', address.next_address('10.1.64.0/22', mac, at),
		address.candidate('10.1.64.0/22', mac, 15))
end
lib.check('the network, not the address, counts', address.candidate('10.1.67.9/22', LOW, 0):match('^10%.1%.64%.'))
lib.check('a range of 32', address.candidate('192.168.7.224/27', LOW, 3):match('^192%.168%.7%.2%d%d$'))
for _, range in ipairs({ '10.0.0.0/28', '10.0.0.0/30', '10.0.0.0', 'x/22', '', '10.0.0.0/x' }) do
	lib.check('too small, or no range: ' .. range, address.candidate(range, LOW, 0) == nil)
end

-- What batman-adv knows, recorded (batctl/README.md): two nodes with one address.
local A, B = '02:00:00:00:00:01', '02:00:00:00:00:02'
local function recorded(name)
	return lib.read('package/test/batctl/' .. name)
end
lib.equal('another node', address.other(recorded('dc-node-b'), '10.1.64.1', B), A)
lib.equal('another node, of which the other one does not know', address.other(recorded('dc-node-a'), '10.1.64.1', A),
	nil)
lib.equal('ourselves', address.other(recorded('dc-node-b'), '10.1.64.1', A:upper()), nil)
lib.equal('an address that no node has', address.other(recorded('dc-node-b'), '10.1.64.2', B), nil)
lib.equal('too old', address.other(recorded('dc-80-seconds-later'), '10.1.64.1', B), nil)
for age, want in pairs({ ['1:00'] = A, ['1:01'] = false, ['0:00'] = A, ['1440:59'] = false }) do
	local text, count = recorded('dc-node-b'):gsub('(64%.1 %S+ +%S+ +)%d+:%d%d', '%1' .. age)
	lib.equal('age ' .. age .. ' is put in', count, 1)
	lib.equal('age ' .. age, address.other(text, '10.1.64.1', B), want or nil)
end
lib.equal('no lines', address.other('Error - no valid command or debug table/JSON specified: dc\n', '10.1.64.1', LOW),
	nil)
local function twice(with)
	return (recorded('dc-node-b'):gsub(A, with))
end

-- Minutes of clashes: the higher MAC moves at once, the lower one after five minutes without a gap of more than two.
local go, clash = address.decide(nil, '10.1.64.1', HIGH, LOW, 100)
lib.check('the higher moves at once', go and clash.first == 100)
local function minutes(pattern)
	local state, moved
	for i = 1, #pattern do
		local now = 1000 + 60 * (i - 1)
		local other = ({ x = HIGH, y = 'f3:00:00:00:00:00' })[pattern:sub(i, i)]
		moved, state = address.decide(state, '10.1.64.1', LOW, other, now)
		if moved then
			return i - 1
		end
	end
end
lib.equal('the lower waits five minutes', minutes('xxxxxxxxx'), 5)
lib.equal('a gap of two minutes is none', minutes('xx.xxxxxxxxx'), 5)
lib.equal('a longer gap is', minutes('xx...xxxxxxxxx'), 10)
lib.equal('another node is another clash', minutes('xxxyyyyyyyyy'), 8)
lib.equal('none', minutes('.........'), nil)

-- The watch, with stand-ins of batctl and of the kernel's files.
local function node(mac)
	local root = lib.root({
		wguplink = "\nconfig uplink 'mesh'\n\toption protocol 'parker'\n",
		network = "\nconfig interface 'client'\n\toption proto 'static'\n",
	})
	assert(lib.sh('cd ' .. root.path .. [[ && mkdir -p sys/class/net/br-client sys/class/net/bat0 proc &&
		ln -s ../br-client sys/class/net/bat0/master && mkdir -p hooks && rm etc/wguplink/hooks.d/50-parker-client]]))
	root.put('/run/stuck', '') -- nothing waits for the network here
	root.put('/sys/class/net/br-client/address', mac .. '\n')
	root.put('/sys/class/net/bat0/flags', '0x1103\n')
	root.put('/usr/bin/batctl', '#!/bin/sh\ncat /run/$1\n')
	root.put('/usr/bin/logger', '#!/bin/sh\necho "logger $*" >>/run/calls\n')
	root.put('/etc/wguplink/hooks.d/50-parker-client', '#!/bin/sh\necho "hook $WGUPLINK_EVENT" >>/run/calls\n')
	assert(lib.sh('cd ' .. root.path ..
		' && chmod 755 usr/bin/batctl usr/bin/logger etc/wguplink/hooks.d/50-parker-client'))
	root.put('/run/dc', twice(mac == LOW and HIGH or LOW))
	root.put('/run/gwl', recorded(mac == LOW and 'gwl-batman-iv' or 'gwl-batman-v'))
	root.put('/tmp/wguplink-parker.latest', "WGUPLINK_ADDRESS4='10.1.64.1'\nWGUPLINK_RANGE4='10.1.64.0/22'\n")
	function root.watch(uptime)
		root.put('/proc/uptime', uptime .. '.50 1.00\n')
		root.put('/run/calls', '')
		local ok, out, err = root.run('/usr/sbin/wguplink-parker-watch')
		lib.check('the watch', ok and out .. err == '', out .. err)
		return root.file('/run/calls')
	end
	function root.moved()
		return (select(2, root.run('uci -q get parker.client.address4')):gsub('\n', ''))
	end
	return root
end
local root = node(HIGH)
local calls = root.watch(100)
lib.contains('the watch: the higher moves', calls, 'hook again\n')
lib.equal('the watch: where to', root.moved(), address.candidate('10.1.64.0/22', HIGH, 0))
lib.equal('the watch: in which range', select(2, root.run('uci get parker.client.range4')), '10.1.64.0/22\n')
lib.equal('the watch: it stays there', root.watch(160), '')
root.put('/run/dc', (twice(LOW):gsub('10%.1%.64%.1 ', root.moved() .. ' ')))
lib.contains('the watch: a second clash', root.watch(220), 'hook again\n')
lib.equal('the watch: the next address', root.moved(), address.candidate('10.1.64.0/22', HIGH, 1))

root = node(LOW)
for i = 0, 4 do
	lib.equal('the watch: the lower waits', root.watch(1000 + 60 * i), '')
end
lib.contains('the watch: it moves', root.watch(1300), 'hook again\n')

root = node(HIGH)
root.put('/run/gwl', '')
lib.equal('the watch: no other gateway, no clash', root.watch(100), '')
root = node(HIGH)
os.remove(root.path .. '/tmp/wguplink-parker.latest')
lib.equal('the watch: no router, no clash', root.watch(100), '')
root = node(HIGH)
assert(root.run('uci set wguplink.mesh.protocol=wgkex; uci commit'))
lib.equal('the watch: not in a domain without Parker', root.watch(100), '')

-- A batctl without these tables: said once, and again after it has worked.
root = node(HIGH)
os.remove(root.path .. '/run/dc')
lib.contains('batctl-tiny: it says so', root.watch(100), 'batctl dc fails')
lib.equal('batctl-tiny: once', root.watch(160), '')
root.put('/run/dc', '')
lib.equal('batctl works', root.watch(220), '')
os.remove(root.path .. '/run/dc')
lib.contains('batctl-tiny again: it says so', root.watch(280), 'batctl dc fails')

-- With 464XLAT: a tunnel that was made anew has no translator yet.
root = node(HIGH)
root.put('/run/dc', '')
assert(lib.sh('cd ' .. root.path .. ' && mkdir -p sys/class/net/wg_c1 sys/class/net/wg_c2'))
root.put('/sys/class/net/wg_c1/ifindex', '7\n')
root.put('/sys/class/net/wg_c2/ifindex', '8\n')
lib.equal('without 464XLAT: nothing', root.watch(100), '')
root.put('/tmp/wguplink-parker.clat', '/sys/class/net/wg_c1/ifindex 7\n/sys/class/net/wg_c2/ifindex 8')
lib.equal('the translator is on both tunnels', root.watch(160), '')
root.put('/sys/class/net/wg_c2/ifindex', '9\n')
lib.equal('a tunnel was made anew', root.watch(220), 'hook again\n')
os.remove(root.path .. '/sys/class/net/wg_c1/ifindex')
os.remove(root.path .. '/sys/class/net/wg_c2/ifindex')
lib.equal('there is no tunnel', root.watch(280), '')

-- bat0 is missing for a minute: the network is started anew, once in ten minutes.
root = node(HIGH)
root.put('/sys/class/net/bat0/flags', '0x1102\n')
lib.equal('bat0 down: not at once', root.watch(100), '')
lib.contains('bat0 down: after a minute', root.watch(160), 'network restart\n')
for i = 1, 9 do
	lib.equal('bat0 down: not again after ' .. i, root.watch(160 + 60 * i), '')
end
lib.contains('bat0 down: again after ten', root.watch(760), 'network restart\n')
root.put('/sys/class/net/bat0/flags', '0x1103\n')
lib.contains('bat0 up: all is well', root.watch(820), 'hook again\n')
assert(lib.sh('cd ' .. root.path .. '/sys/class/net && rm -r bat0'))
lib.equal('bat0 gone: not at once', root.watch(880), '')
lib.contains('bat0 gone: after a minute', root.watch(940), 'network restart\n')

-- The next-node address, in a domain with Parker only.
local function rules(site)
	local got = {}
	local function wrap(v)
		return setmetatable({}, {
			__index = function(_, k) return wrap(type(v) == 'table' and v[k] or nil) end,
			__call = function() return v end,
		})
	end
	local env = setmetatable({
		rule = function(text, where) table.insert(got, where .. ' ' .. text) end,
		require = function(name)
			return name == 'gluon.site' and wrap(site) or
				{ next_node_macaddr = function() return '16:41:95:40:f7:dc' end }
		end,
	}, { __index = _G })
	local path = 'package/gluon-mesh-vpn-parker-wguplink/files/lib/gluon/ebtables/399-wguplink-parker-nextnode'
	setfenv(assert(loadfile(path)), env)()
	return got
end
local NEXT = { ip4 = '10.9.0.1', ip6 = 'fd00::1' }
local got = rules({ mesh_vpn = { parker = { mtu = 1375 } }, next_node = NEXT })
lib.equal('next-node', table.concat(got, '\n'),
	'nat PREROUTING -p IPv4 --ip-destination 10.9.0.1 -d ! 16:41:95:40:f7:dc -j dnat --to-destination 16:41:95:40:f7:dc ' ..
	'--dnat-target ACCEPT\n' ..
	'nat PREROUTING -p IPv6 --ip6-destination fd00::1 -d ! 16:41:95:40:f7:dc -j dnat --to-destination 16:41:95:40:f7:dc ' ..
	'--dnat-target ACCEPT')
-- ebtables takes them.
for _, line in ipairs(got) do
	local where, text = line:match('^(%S+) (.*)$')
	local ok, out, err = lib.sh('unshare --net ebtables-nft -t ' .. where .. ' -A ' .. text)
	lib.check('ebtables takes ' .. text, ok, out .. err)
end
lib.equal('next-node without addresses', #rules({ mesh_vpn = { parker = { mtu = 1375 } } }), 0)
lib.equal('next-node without Parker', #rules({ mesh_vpn = { wireguard = {} }, next_node = NEXT }), 0)
