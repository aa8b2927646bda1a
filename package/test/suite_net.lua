-- Real packets: through the firewall that OpenWrt makes of our UCI, with leases from dnsmasq, and with router
-- advertisements. Each script has namespaces of its own (net/hosts.sh).

local lib = require 'lib'

local function run(script, ...)
	local words = { 'unshare --mount --net --pid --fork --kill-child package/test/net/' .. script }
	for _, word in ipairs({...}) do
		table.insert(words, lib.quote(word))
	end
	local ok, out, err = lib.sh(table.concat(words, ' ') .. ' </dev/null')
	lib.check(script, ok, out .. err)
	return out, err
end

-- Takes minutes, most of which it waits: it runs beside the others.
local GLUON = lib.tmp .. '/31-gluon.conf'
lib.write(GLUON, 'net.ipv6.conf.br-client.forwarding=0\nnet.ipv6.conf.local-node.forwarding=0\n')
local site = require 'parkersite'
local function parker(change)
	local root = lib.root({
		gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
		network = "\nconfig interface 'loopback'\n\toption proto 'static'\n",
		firewall = "\nconfig defaults\n\toption input 'REJECT'\n",
		dhcp = "\nconfig dnsmasq\n\toption domain 'lan'\n",
	}, change(site.PARKER), site.PARKER_DOMAIN)
	assert(lib.sh('cd ' .. root.path .. ' && mkfifo run/events run/forever'))
	root.put('/etc/init.d/wguplink-parker-radvd', '#!/bin/sh\n')
	assert(lib.sh('chmod 755 ' .. root.path .. '/etc/init.d/wguplink-parker-radvd'))
	root.put('/run/netifd', '{"up": true, "proto": "dhcp", "ipv4-address": []}\n')
	local ok, out, err = root.reconfigure()
	lib.check('upgrade', ok and err == '', out .. err)
	return root
end
local node = parker(function(text) return text end)
local router = assert(io.popen('unshare --mount --net --pid --fork --kill-child package/test/net/router ' .. GLUON ..
	' ' ..
	node.path .. '/etc/sysctl.d/40-wguplink-parker.conf </dev/null 2>&1; echo "exit $?"'))

-- The firewall, OpenWrt's and the one before it. The rules are recorded (golden/*.nft, *.fw3); they are of this very
-- UCI.
local RULES = {}
for _, name in ipairs({ 'wireguard', 'routing' }) do
	local sum = select(2, lib.sh('sha256sum <package/test/golden/' .. name .. '.firewall')):match('^%x+')
	for _, ext in ipairs({ '.nft', '.fw3' }) do
		local path = 'package/test/golden/' .. name .. ext
		lib.equal(name .. ext .. ' is of ' .. name .. '.firewall: record it anew when UCI has changed',
			lib.read(path):match('sha256 of that file: (%x+)'), sum)
		table.insert(RULES, path)
	end
end
local out = run('packets', unpack(RULES))
local PASSES = {}
for _, rules in ipairs({ 'routing', 'routing.fw3' }) do
	PASSES[rules .. ' client-far'], PASSES[rules .. ' far-client'] = true, true
end
local count = 0
for pair, family, verdict in out:gmatch('(%S+ %S+) (%S+) (%S+)\n') do
	count = count + 1
	-- Without a firewall everything arrives: it is the rules, and not a missing route, that drop.
	local want = (pair:match('^open ') or PASSES[pair]) and 'arrives' or 'dropped'
	lib.equal('packets: ' .. pair .. ', ' .. family, verdict, want)
end
lib.equal('packets: all pairs', count, 5 * 7 * 2)

-- What OpenWrt's service makes of /etc/config/dhcp for dnsmasq, as far as it is about clients: a section for an
-- interface that has no device counts for nothing, "ignore" keeps its device from being served, an address range of the
-- interface's network, and options with the interface's name as their tag.
local DEVICES = { client = 'br-client', local_node = 'local-node' }
local function dnsmasq(root)
	local conf, section = { 'bind-dynamic', 'user=root', 'dhcp-leasefile=/run/leases' }, nil
	local sections = {}
	for line in root.file('/etc/config/dhcp'):gmatch('[^\n]+') do
		local stype = line:match('^config (%S+)')
		local kind, option, value = line:match("^\t(%S+) (%S+) '(.*)'$")
		if stype then
			section = { stype = stype, lists = {} }
			table.insert(sections, section)
		elseif kind == 'list' then
			section.lists[option] = section.lists[option] or {}
			table.insert(section.lists[option], value)
		else
			section[option] = value
		end
	end
	for _, s in ipairs(sections) do
		local device = DEVICES[s.interface]
		for _, name in ipairs(s.stype == 'dnsmasq' and s.lists.notinterface or {}) do
			table.insert(conf, 'except-interface=' .. name)
		end
		if s.stype == 'dhcp' and device and s.ignore == '1' then
			table.insert(conf, 'no-dhcp-interface=' .. device)
		elseif s.stype == 'dhcp' and device then
			-- 10.1.64.0/22, of which the last address is the broadcast's
			local last = math.min(s.start + s.limit - 1, 1022)
			table.insert(conf, string.format('dhcp-range=set:%s,10.1.%d.%d,10.1.%d.%d,255.255.252.0,%s', s.interface,
				64 + math.floor(s.start / 256), s.start % 256, 64 + math.floor(last / 256), last % 256, s.leasetime))
			for _, option in ipairs(s.lists.dhcp_option or {}) do
				table.insert(conf, 'dhcp-option=' .. s.interface .. ',' .. option)
			end
		end
	end
	local path = lib.tmp .. '/dnsmasq.conf'
	lib.write(path, table.concat(conf, '\n') .. '\n')
	return path
end

local function lease(root, more)
	local ok, said, err = root.run('env WGUPLINK_UPLINK=mesh WGUPLINK_PROTOCOL=parker WGUPLINK_EVENT=up ' ..
		'WGUPLINK_ADDRESS4=10.1.64.1 WGUPLINK_RANGE4=10.1.64.0/22 WGUPLINK_ADDRESS6=2001:db8:1::1 ' ..
		'WGUPLINK_RANGE6=2001:db8:1::/64 WGUPLINK_CLIENT_MTU=1375 ' .. (more or '') ..
		' /etc/wguplink/hooks.d/50-parker-client </dev/null')
	lib.check('a tunnel comes', ok and said .. err == '', said .. err)
	local address = root.file('/etc/config/network'):match("option ipaddr '([^']*)'\n\toption ip6addr")
	return (run('lease', dnsmasq(root), address, '-O', '42', '-O', '26', '-O', '108', '-O', '138', '-O', '43', '-V',
		'ubnt'))
end

-- As the example has it: time servers with names, which are none for DHCP.
local got = lease(node)
for _, want in ipairs({
	'router=10.1.64.1\n', 'dns=10.1.64.1\n', 'mtu=1375\n', 'lease=180\n', 'mask=22\n', 'dns 10.1.64.1\n',
}) do
	lib.contains('lease: ' .. want, got, want)
end
for _, other in ipairs({ 'ntpsrv', 'opt108', 'opt138', 'opt43', '10%.200%.0%.1' }) do
	lib.check('lease: no ' .. other, not got:find(other), got)
end

-- Names, IPv6 and IPv4 in one list; an NTP server of clients' own; controllers; 464XLAT; another address.
local SERVERS = 'ntp_servers = %b{}'
got = lease(parker(function(text)
	return (text:gsub(SERVERS,
		"ntp_servers = { 'ntp1.example.org', '2001:db8::1', '192.0.2.1', '192.0.2.300', '192.0.2.2' }"))
end))
lib.contains('lease: IPv4 addresses of ntp_servers', got, 'ntpsrv=192.0.2.1 192.0.2.2\n')
local full = parker(function(text)
	return (text:gsub('config_server =', "client_ntp_servers4 = { '10.0.0.1' }, unifi_controller4 = '10.0.0.2',\n" ..
		"\t\tomada_controllers4 = { '10.0.0.3', '10.0.0.4' },\n\t\tconfig_server =", 1))
end)
full.put('/run/help', lib.read('package/test/uradvd/pref64'))
full.put('/usr/sbin/uradvd', '#!/bin/sh\ncat /run/help >&2\n')
assert(lib.sh('chmod 755 ' .. full.path .. '/usr/sbin/uradvd'))
full.put('/etc/config/parker',
	"\nconfig client 'client'\n\toption address4 '10.1.64.9'\n\toption range4 '10.1.64.0/22'\n")
got = lease(full, 'WGUPLINK_XLAT_RANGE6=2001:db8:9::/96')
for _, want in ipairs({
	'ntpsrv=10.0.0.1\n', 'opt43=01040a000002', 'opt138=0a0000030a000004\n', 'opt108=00000000\n', 'mtu=1347\n',
	'router=10.1.64.9\n',
}) do
	lib.contains('lease: ' .. want, got, want)
end

-- The client's default route.
local routes = router:read('*a')
router:close()
for _, form in ipairs({
	{ 'gluon', 'lost' }, { 'parker', 'stays' }, { 'parker-remade', 'stays' }, { 'gluon-remade', 'lost' },
}) do
	local verdict, times = routes:match('\n' .. form[1]:gsub('%p', '%%%0') .. ' (%a+) (%d+)\n')
	if form[1] == 'gluon' then
		verdict, times = routes:match('^gluon (%a+) (%d+)\n')
	end
	lib.check('the default route of a client, ' .. form[1], verdict == form[2], routes)
	-- It is the answer to a question of the client's that decides; a minute has more of them than one.
	lib.check('the client has asked, ' .. form[1], tonumber(times or 0) >= (form[1] == 'parker' and 5 or 1), routes)
end
lib.contains('router ends well', routes, 'exit 0\n')
