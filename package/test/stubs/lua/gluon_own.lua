-- What Gluon's own upgrade scripts do to the files that ours touch, before ours run: some sections are made anew each
-- time, some options are set each time, and all else stays as it is. In the manner of a node with batman-adv.

local site = require 'gluon.site'
local uci = require('simple-uci').cursor()

-- network: the old file is there to look at until the end of the upgrade.
os.execute('cd /etc/config && rm -f network_gluon-old && mv network network_gluon-old && : >network')
uci:section('network', 'interface', 'loopback', { ifname = 'lo', proto = 'static', ipaddr = '127.0.0.1' })
uci:section('network', 'interface', 'wan', { type = 'bridge', proto = 'dhcp', peerdns = false })
uci:section('network', 'interface', 'wan6', { ifname = 'br-wan', proto = 'dhcpv6', ip6table = 1 })
uci:section('network', 'rule6', 'wan6_lookup', { mark = '0x01/0x01', lookup = 1 })
uci:section('network', 'interface', 'client', { type = 'bridge', proto = 'dhcpv6', reqprefix = 'no' })
uci:section('network', 'interface', 'gluon_bat0', {
	proto = 'gluon_bat0',
	gw_mode = uci:get('network_gluon-old', 'gluon_bat0', 'gw_mode') or 'client',
})
uci:section('network', 'interface', 'local_node', { ifname = 'local-node', proto = 'static' })
uci:save('network')

-- firewall
local function set(section, options)
	for option, value in pairs(options) do
		uci:set('firewall', section, option, value)
	end
end
set(uci:get_first('firewall', 'defaults'), { input = 'REJECT' })
uci:foreach('firewall', 'zone', function(s)
	if s.name == 'wan' then
		set(s['.name'], { input = 'REJECT', conntrack = true, network = { 'wan', 'wan6' } })
	end
end)
for zone, network in pairs({ mesh = 'client', loc_client = 'local_node' }) do
	uci:section('firewall', 'zone', zone, {
		name = zone, network = { network }, input = 'REJECT', output = 'ACCEPT', forward = 'REJECT',
	})
	uci:section('firewall', 'rule', zone .. '_ICMPv6_in', {
		src = zone, proto = 'icmp', icmp_type = { 'echo-request', 'router-solicitation', 'neighbour-solicitation' },
		family = 'ipv6', target = 'ACCEPT',
	})
	uci:section('firewall', 'rule', zone .. '_http', { src = zone, proto = 'tcp', dest_port = 80, target = 'ACCEPT' })
end
uci:section('firewall', 'rule', 'mesh_respondd_siteprefix', {
	src = 'mesh', src_ip = site.prefix6(), proto = 'udp', dest_port = 1001, target = 'ACCEPT',
})
uci:save('firewall')

-- dhcp
uci:set('dhcp', uci:get_first('dhcp', 'dnsmasq'), 'localservice', false)
uci:section('dhcp', 'dhcp', 'local_client', { ignore = true, interface = 'client' })
uci:delete('dhcp', 'local_node')
uci:section('dhcp', 'dhcp', 'local_node', { ignore = true, interface = 'local_node' })
uci:save('dhcp')
