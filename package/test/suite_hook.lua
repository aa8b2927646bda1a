-- The hook 50-parker-client, under dash and under busybox, with stand-ins for netifd, ebtables-tiny and the services.

local lib = require 'lib'

local HOOK = '/etc/wguplink/hooks.d/50-parker-client'
local UP = {
	WGUPLINK_PROTOCOL = 'parker', WGUPLINK_EVENT = 'up', WGUPLINK_UPLINK = 'mesh', WGUPLINK_MTU = '1375',
	WGUPLINK_ADDRESS4 = '10.1.64.1', WGUPLINK_RANGE4 = '10.1.64.0/22',
	WGUPLINK_ADDRESS6 = '2001:db8:1::1', WGUPLINK_RANGE6 = '2001:db8:1::/64',
}
local NODE = {
	network = "\nconfig interface 'client'\n\toption proto 'dhcp'\n\nconfig interface 'client6'\n\toption proto 'dhcpv6'\n" ..
		"\nconfig interface 'gluon_bat0'\n\toption proto 'gluon_bat0'\n\toption gw_mode 'client'\n" ..
		"\nconfig interface 'wan'\n\toption proto 'dhcp'\n",
	dhcp = "\nconfig dnsmasq\n\toption domain 'lan'\n\nconfig dhcp 'client'\n\toption interface 'client'\n" ..
		"\tlist dhcp_option 'option:router,10.0.0.1'\n\tlist dhcp_option 'option:ntp-server,192.0.2.1'\n",
	wguplink = "\nconfig uplink 'mesh'\n\toption protocol 'parker'\n",
	parker = "\nconfig nodeconfig 'nodeconfig'\n",
}

-- What is called, in this order, to have netifd take its files, and to change what is announced.
local RELOAD = 'gluon-radvd stop\nwguplink-parker-radvd stop\nnetwork reload\nnetwork done\n'
local ANNOUNCE = 'gluon-radvd stop\nwguplink-parker-radvd restart\n'

local function with(changes)
	local t = {}
	for k, v in pairs(UP) do
		t[k] = v
	end
	for k, v in pairs(changes or {}) do
		t[k] = v
	end
	return t
end

for _, shell in ipairs({ 'dash', 'busybox' }) do
	local function node()
		local root = lib.root(NODE)
		assert(lib.sh('cd ' .. root.path .. ' && ln -sf ' .. shell .. ' bin/sh && mkfifo run/events run/forever'))
		root.put('/etc/init.d/wguplink-parker-radvd', '#!/bin/sh\necho "${0##*/} $*" >>/run/calls\n')
		root.put('/usr/sbin/uradvd', "#!/bin/sh\necho '[ --rdnss <ip> ... ]\n[ --pref64 <prefix>/<len> ]' >&2\n")
		assert(lib.sh('cd ' .. root.path .. ' && chmod 755 etc/init.d/wguplink-parker-radvd usr/sbin/uradvd'))
		root.put('/run/netifd', '{"up": true, "proto": "dhcp", "ipv4-address": []}\n')
		lib.equal('the shell is ' .. shell, select(2, lib.sh('readlink ' .. root.path .. '/bin/sh')), shell .. '\n')
		return root
	end
	-- Returns whether it succeeded, its errors, and the calls that it made but for questions.
	local function run(root, env)
		root.put('/run/calls', '')
		local words = {}
		for k, v in pairs(env) do
			table.insert(words, k .. '=' .. lib.quote(v))
		end
		local ok, out, err = root.run('env ' .. table.concat(words, ' ') .. ' ' .. HOOK)
		local calls = root.file('/run/calls'):gsub('ubus [^\n]*\n', ''):gsub('ebtables%-tiny %-L[^\n]*\n', '')
			:gsub('gluon%-radvd running\n', '')
		lib.equal(shell .. ': nothing on standard output', out, '')
		lib.equal(shell .. ': nothing of it is left in /tmp',
			select(2, root.run('ls -d /tmp/tmp.?????? 2>/dev/null')), '')
		return ok, err, calls
	end
	local function files(root)
		return root.file('/etc/config/network') .. root.file('/etc/config/dhcp')
	end

	-- The first tunnel.
	local root = node()
	local before = files(root)
	local ok, err, calls = run(root, UP)
	lib.check(shell .. ': up', ok and err == '', err)
	lib.golden('hook.up', files(root))
	lib.equal(shell .. ': up: calls', calls, 'ebtables-tiny -A PARKER_RADV -j DROP\n' .. RELOAD ..
		'dnsmasq restart\n' .. ANNOUNCE)
	lib.equal(shell .. ': up: range6', root.file('/tmp/range6'), '2001:db8:1::/64')
	lib.equal(shell .. ': up: addr6', root.file('/tmp/addr6'), '2001:db8:1::1')
	lib.check(shell .. ': up: nothing pending', not root.file('/tmp/wguplink-parker.pending'))
	lib.equal(shell .. ': up: nothing staged', select(2, root.run('uci changes')), '')
	lib.contains(shell .. ': it waits for netifd\'s events', root.file('/run/calls'), 'listen network.interface')
	local up = files(root)

	-- Again, and a change that is none: nothing happens.
	for _, event in ipairs({ 'up', 'change' }) do
		ok, err, calls = run(root, with({ WGUPLINK_EVENT = event }))
		lib.check(shell .. ': again', ok and err == '', err)
		lib.equal(shell .. ': again: no calls', calls, '')
		lib.equal(shell .. ': again: no change', files(root), up)
	end

	-- A new range for IPv6, and 464XLAT.
	ok, err, calls = run(root, with({
		WGUPLINK_EVENT = 'change', WGUPLINK_RANGE6 = '2001:db8:2::/64', WGUPLINK_ADDRESS6 = '2001:db8:2::1',
		WGUPLINK_XLAT_RANGE6 = '2001:db8:9::/96', WGUPLINK_CLIENT_MTU = '1340',
	}))
	lib.check(shell .. ': change', ok and err == '', err)
	lib.equal(shell .. ': change: calls', calls,
		RELOAD .. 'dnsmasq restart\n' .. ANNOUNCE .. 'ebpf-clat stop\nebpf-clat start\n')
	lib.contains(shell .. ': change: address', files(root), "option ip6addr '2001:db8:2::1/64'")
	lib.contains(shell .. ': change: xlat', files(root), "option xlat_range6 '2001:db8:9::/96'")
	lib.equal(shell .. ': change: range6', root.file('/tmp/range6'), '2001:db8:2::/64')

	lib.contains(shell .. ': change: option 26', files(root), "list dhcp_option 'option:mtu,1312'")
	lib.check(shell .. ': change: one of them', not files(root):find('option:mtu,1375', 1, true))
	lib.contains(shell .. ': change: option 108', files(root), "list dhcp_option 'option:ipv6-only,0'")
	lib.contains(shell .. ': change: entries of others', files(root), "option:router,10.0.0.1")
	lib.equal(shell .. ': change: for radvd', root.file('/tmp/adv_mtu') .. ' ' .. root.file('/tmp/pref64'),
		'1340 64:ff9b::/96')

	-- The same again, but a tunnel has been made anew: the translator has to be put on it.
	local XLAT = with({ WGUPLINK_EVENT = 'change', WGUPLINK_RANGE6 = '2001:db8:2::/64',
		WGUPLINK_ADDRESS6 = '2001:db8:2::1',
		WGUPLINK_XLAT_RANGE6 = '2001:db8:9::/96', WGUPLINK_CLIENT_MTU = '1340' })
	ok, err, calls = run(root, XLAT)
	lib.check(shell .. ': change again', ok and err == '' and calls == '', err .. calls)
	assert(lib.sh('cd ' .. root.path .. ' && mkdir -p sys/class/net/wg_c1 && echo 7 >sys/class/net/wg_c1/ifindex'))
	ok, err, calls = run(root, XLAT)
	lib.check(shell .. ': a new tunnel', ok and err == '', err)
	lib.equal(shell .. ': a new tunnel: calls', calls, 'ebpf-clat reload\n')
	root.put('/sys/class/net/wg_c1/ifindex', '8\n')
	ok, err, calls = run(root, XLAT)
	lib.check(shell .. ': a tunnel made anew', ok and err == '' and calls == 'ebpf-clat reload\n', err .. calls)

	-- Another prefix. ebpf-clat leaves its filters on the tunnels unless it ends by SIGINT; only then is procd told.
	root.put('/translator', [[#!/bin/sh
		exec 2>/dev/null
		cat /run/forever &
		trap 'kill $!; rm /run/ebpf-clat; echo "ebpf-clat SIGINT" >>/run/calls; exit' INT
		echo "\"ebpf-clat\": {\"instances\": {\"ebpf-clat.wg_c1\": {\"running\": true, \"pid\": $$}}}" >/run/ebpf-clat
		echo ready
		wait
	]])
	root.put('/again', '#!/bin/sh\nread -r ready && WGUPLINK_XLAT_RANGE6=2001:db8:a::/96 ' .. HOOK .. ' >&2\n')
	local prefix = { 'env' }
	for k, v in pairs(XLAT) do
		table.insert(prefix, k .. '=' .. lib.quote(v))
	end
	root.put('/run/calls', '')
	ok, _, err = root.run('sh /translator | ' .. table.concat(prefix, ' ') .. ' sh /again')
	lib.check(shell .. ': another prefix', ok and err == '', err)
	calls = root.file('/run/calls'):gsub('ubus [^\n]*\n', '')
	lib.contains(shell .. ': another prefix: it ends by itself', calls,
		'ebpf-clat SIGINT\nebpf-clat stop\nebpf-clat start\n')
	lib.equal(shell .. ': another prefix: the file', root.file('/tmp/xlat_range6'), '2001:db8:a::/96')
	ok, err = run(root, XLAT)
	lib.check(shell .. ': the first prefix again', ok and err == '', err)

	-- The node has to move, and stays where it is for as long as its range is the same.
	root.put('/etc/config/parker',
		"\nconfig client 'client'\n\toption address4 '10.1.64.9'\n\toption range4 '10.1.64.0/22'\n")
	ok, err, calls = run(root, { WGUPLINK_EVENT = 'again' })
	lib.check(shell .. ': moved', ok and err == '', err)
	lib.equal(shell .. ': moved: calls', calls,
		RELOAD .. 'dnsmasq restart\n' .. ANNOUNCE)
	for _, want in ipairs({ "option ipaddr '10.1.64.9/22'", "option start '17'", "option limit '1007'",
		'option:mtu,1312' }) do
		lib.contains(shell .. ': moved', files(root), want)
	end
	root.put('/etc/config/parker',
		"\nconfig client 'client'\n\toption address4 '10.1.64.9'\n\toption range4 '10.9.64.0/22'\n")
	ok, err = run(root, XLAT)
	lib.check(shell .. ': a new range', ok and err == '', err)
	for _, want in ipairs({ "option ipaddr '10.1.64.1/22'", "option start '2'", "option limit '1022'" }) do
		lib.contains(shell .. ': a new range', files(root), want)
	end

	-- No tunnel any more.
	ok, err, calls = run(root, { WGUPLINK_PROTOCOL = 'parker', WGUPLINK_EVENT = 'down' })
	lib.check(shell .. ': down', ok and err == '', err)
	lib.golden('hook.down', files(root))
	lib.equal(shell .. ': down: calls', calls,
		'ebtables-tiny -F PARKER_RADV\n' .. RELOAD .. ANNOUNCE .. 'gluon-radvd start\nebpf-clat stop\n')
	lib.equal(shell .. ': down: what is taken back', root.file('/tmp/wguplink-parker.gone6'), '2001:db8:2::/64')
	lib.check(shell .. ': down: nothing for radvd', not root.file('/tmp/adv_mtu') and not root.file('/tmp/pref64'))
	ok, err, calls = run(root, { WGUPLINK_EVENT = 'again' })
	lib.check(shell .. ': again without a tunnel', ok and err == '' and calls == '', err .. calls)
	lib.check(shell .. ': down: no range6', not root.file('/tmp/range6') and not root.file('/tmp/addr6'))
	ok, err, calls = run(root, { WGUPLINK_PROTOCOL = 'parker', WGUPLINK_EVENT = 'down' })
	lib.check(shell .. ': down again', ok and err == '', err)
	lib.equal(shell .. ': down again: calls', calls, 'ebtables-tiny -F PARKER_RADV\n')
	-- The second time since the boot: dnsmasq knows the interface already, but there is no option 108 any more.
	ok, err, calls = run(root, UP)
	lib.check(shell .. ': up again', ok and err == '', err)
	lib.check(shell .. ': up again: nothing is taken back', not root.file('/tmp/wguplink-parker.gone6'))
	lib.contains(shell .. ': up again: dnsmasq hears of it', calls, 'dnsmasq restart')
	lib.check(shell .. ': up again: no option 108', not files(root):find('ipv6-only', 1, true), files(root))
	lib.contains(shell .. ': up again: option 26', files(root), 'option:mtu,1375')
	ok, err = run(root, { WGUPLINK_PROTOCOL = 'parker', WGUPLINK_EVENT = 'down' })
	lib.check(shell .. ': down once more', ok and err == '', err)
	ok, err, calls = run(root, UP)
	lib.check(shell .. ': up once more', ok and err == '' and not calls:find('dnsmasq'), err .. calls)

	-- A tunnel below what IPv6 needs: nothing for radvd, which would end.
	ok, err = run(root, with({ WGUPLINK_EVENT = 'change', WGUPLINK_CLIENT_MTU = '1279' }))
	lib.check(shell .. ': too small', ok and err == '' and not root.file('/tmp/adv_mtu'), err)

	-- Gluon's own comes back with a reload of its services: it rests again.
	root.put('/run/gluon-radvd', '')
	ok, err, calls = run(root, with({ WGUPLINK_EVENT = 'change', WGUPLINK_CLIENT_MTU = '1279' }))
	lib.check(shell .. ': Gluon\'s radvd is back', ok and err == '', err)
	lib.equal(shell .. ': Gluon\'s radvd is back: calls', calls, ANNOUNCE)
	os.remove(root.path .. '/run/gluon-radvd')

	-- A uradvd that cannot announce the translator's prefix, or a range that it cannot announce at all: a client that
	-- switched IPv4 off for option 108 would be cut off.
	for name, change in pairs({
		['an older uradvd'] = function(old) old.put('/usr/sbin/uradvd', '#!/bin/sh\n') end,
		['a range6 of another length'] = function(_, env) env.WGUPLINK_RANGE6 = '2001:db8:2::/56' end,
	}) do
		local old, env = node(), with({ WGUPLINK_XLAT_RANGE6 = '2001:db8:9::/96' })
		change(old, env)
		assert(lib.sh('chmod 755 ' .. old.path .. '/usr/sbin/uradvd'))
		ok, err, calls = run(old, env)
		lib.check(shell .. ': ' .. name, ok and err == '', err)
		lib.contains(shell .. ': ' .. name .. ': the node translates', calls, 'ebpf-clat start')
		lib.check(shell .. ': ' .. name .. ': no option 108', not files(old):find('ipv6-only', 1, true), files(old))
		lib.check(shell .. ': ' .. name .. ': no prefix', not old.file('/tmp/pref64'))
		lib.contains(shell .. ': ' .. name .. ': option 26', files(old), 'option:mtu,1347')
	end

	-- The domain has been changed to one without Parker: UCI is not touched, all else goes.
	assert(root.run('uci set wguplink.mesh.protocol=wgkex; uci commit wguplink'))
	local other = files(root)
	ok, err, calls = run(root, { WGUPLINK_PROTOCOL = 'parker', WGUPLINK_EVENT = 'down' })
	lib.check(shell .. ': another domain', ok and err == '', err)
	lib.equal(shell .. ': another domain: UCI', files(root), other)
	lib.equal(shell .. ': another domain: calls', calls, 'ebtables-tiny -F PARKER_RADV\n' .. ANNOUNCE ..
		'gluon-radvd start\n')
	lib.check(shell .. ': another domain: nothing for radvd', not root.file('/tmp/range6'))

	-- Staged changes of another program: nothing is touched, they stay, the hook says so.
	for _, package in ipairs({ 'network', 'dhcp' }) do
		root = node()
		assert(root.run(package == 'network' and 'uci set network.wan.proto=static' or 'uci set dhcp.mine=dhcp'))
		local staged = select(2, root.run('uci changes'))
		ok, err, calls = run(root, UP)
		lib.check(shell .. ': staged ' .. package .. ': refused', not ok)
		lib.contains(shell .. ': staged ' .. package .. ': it says so', err, 'uncommitted changes in ' .. package)
		lib.equal(shell .. ': staged ' .. package .. ': no calls', calls, '')
		lib.equal(shell .. ': staged ' .. package .. ': files', files(root), before)
		lib.equal(shell .. ': staged ' .. package .. ': still staged', select(2, root.run('uci changes')), staged)
	end
	-- Staged changes of other packages do not matter to the hook.
	root = node()
	root.put('/etc/config/system', "\nconfig system 'x'\n")
	assert(root.run('uci set system.x.hostname=y'))
	ok, err = run(root, UP)
	lib.check(shell .. ': staged elsewhere', ok and err == '', err)
	lib.contains(shell .. ': staged elsewhere: still', select(2, root.run('uci changes')), 'system.x.hostname')

	-- Even those that come while it is at work are not committed along with its own.
	root = node()
	root.put('/run/meddler', '')
	ok, err = run(root, UP)
	lib.check(shell .. ': meddler', ok and err == '', err)
	lib.contains(shell .. ': meddler: ours is committed', root.file('/etc/config/network'),
		"option ipaddr '10.1.64.1/22'")
	lib.check(shell .. ': meddler: theirs is not', not root.file('/etc/config/network'):find('metric'))
	lib.contains(shell .. ': meddler: theirs is still staged', select(2, root.run('uci changes')), 'network.wan.metric')

	-- What is wrong is named, and nothing is done.
	for name, value in pairs({
		WGUPLINK_ADDRESS4 = '', WGUPLINK_ADDRESS6 = '$(reboot)', WGUPLINK_CLIENT_MTU = '1375x',
		WGUPLINK_XLAT_RANGE6 = "';reboot;'", WGUPLINK_RANGE4 = '10.1.64.0', WGUPLINK_RANGE6 = '2001:db8::/129',
	}) do
		root = node()
		ok, err, calls = run(root, with({ [name] = value }))
		lib.check(shell .. ': wrong ' .. name, not ok)
		lib.contains(shell .. ': wrong ' .. name .. ' is named', err, name)
		lib.equal(shell .. ': wrong ' .. name .. ': nothing done', files(root) .. calls, before)
	end
	for _, value in ipairs({ '10.0.0.0/31', '10.0.0.0/7', '10.0.0.0/x', '10.0.0.0/' }) do
		root = node()
		ok, err = run(root, with({ WGUPLINK_RANGE4 = value }))
		lib.check(shell .. ': range ' .. value, not ok and err:find(value, 1, true), err)
	end

	-- netifd does not get there: it is said, and the next run tries again although the files are right already.
	root = node()
	root.put('/run/stuck', '')
	ok, err = run(root, UP)
	lib.check(shell .. ': stuck', not ok)
	lib.contains(shell .. ': stuck: it says so', err, 'not static')
	lib.check(shell .. ': stuck: pending', root.file('/tmp/wguplink-parker.pending'))
	os.remove(root.path .. '/run/stuck')
	ok, err, calls = run(root, UP)
	lib.check(shell .. ': stuck, then not', ok and err == '', err)
	lib.contains(shell .. ': stuck, then not: reload', calls, 'network reload')
	lib.check(shell .. ': stuck, then not: nothing pending', not root.file('/tmp/wguplink-parker.pending'))

	-- Other uplinks, other events.
	root = node()
	ok, err, calls = run(root, with({ WGUPLINK_PROTOCOL = 'wgkex' }))
	lib.check(shell .. ': another protocol', ok and err == '' and calls == '' and files(root) == before, err)
	ok, err, calls = run(root, with({ WGUPLINK_EVENT = 'else' }))
	lib.check(shell .. ': another event', ok and err == '' and calls == '' and files(root) == before, err)
end
