-- What a Parker node has in UCI beyond its uplink, and how a node loses it. It is here, and not in Parker's package,
-- because the image that a node leaves Parker with may not have that package. Names are the original's
-- (ffbs-mesh-vpn-parker), so that a node that changes hands has each section once, and leaves all of them behind.

local M = {
	-- IPv6 forwarding on the client bridge, read by the kernel's setting service at boot and when the bridge is made.
	sysctl = '/etc/sysctl.d/40-wguplink-parker.conf',
	-- dhcp.local_client tells dnsmasq to serve no client on the client bridge. It names this instead of the bridge
	-- while the node serves its clients; Gluon writes the bridge's name back with each upgrade.
	aside = 'wguplink_none',
	-- dnsmasq must not serve the tunnels.
	notinterface = 'wg_c*',
}

-- Whether a value is an IPv4 address as dnsmasq takes it: four numbers up to 255, without leading zeros.
function M.is_ip4(value)
	local octets = { tostring(value):match('^(%d+)%.(%d+)%.(%d+)%.(%d+)$') }
	for _, octet in ipairs(octets) do
		if tonumber(octet) > 255 or octet ~= tostring(tonumber(octet)) then
			return false
		end
	end
	return #octets == 4
end

local function rule(options)
	options.target = 'ACCEPT'
	return { 'rule', options }
end

-- firewall: section name = { type, options }
M.firewall = {
	-- the tunnels
	vpn_parker = { 'zone', {
		name = 'vpn_parker',
		device = 'wg_c+',
		input = 'REJECT',
		output = 'ACCEPT',
		forward = 'REJECT',
		mtu_fix = true,
	} },
	-- the only packets that are forwarded: between clients and tunnels
	mesh_vpn_parker = { 'forwarding', { src = 'mesh', dest = 'vpn_parker' } },
	vpn_parker_mesh = { 'forwarding', { src = 'vpn_parker', dest = 'mesh' } },

	-- what clients ask the node for
	mesh_dhcpv4_parker = rule({ src = 'mesh', family = 'ipv4', proto = 'udp', dest_port = 67 }),
	mesh_dns_parker = rule({ src = 'mesh', proto = 'tcpudp', dest_port = 53 }),
	mesh_ICMPv4_parker = rule({ src = 'mesh', family = 'ipv4', proto = 'icmp', icmp_type = 'echo-request' }),
	respondd_mesh_parker = rule({ src = 'mesh', proto = 'udp', dest_port = 1001 }),
	-- the same at the next-node address
	loc_client_dns_parker = rule({ src = 'loc_client', proto = 'tcpudp', dest_port = 53 }),

	-- what the network asks the node for
	vpn_parker_ICMPv4_parker = rule({ src = 'vpn_parker', family = 'ipv4', proto = 'icmp',
		icmp_type = 'echo-request' }),
	vpn_parker_ICMPv6_in_parker = rule({
		src = 'vpn_parker', family = 'ipv6', proto = 'icmp', icmp_type = 'echo-request', limit = '1000/sec',
	}),
	respondd_vpn_parker_mesh = rule({ src = 'vpn_parker', proto = 'udp', dest_port = 1001 }),
	vpn_parker_ssh = rule({ src = 'vpn_parker', proto = 'tcp', dest_port = 22 }),
	vpn_parker_http = rule({ src = 'vpn_parker', proto = 'tcp', dest_port = 80 }),
}

-- Gives defaults and zones the policies of OpenWrt and Gluon back where they are open. The original opened them, and
-- did not keep what it had found.
function M.close_firewall(uci)
	local sections = { uci:get_first('firewall', 'defaults') }
	uci:foreach('firewall', 'zone', function(s)
		if s.name == 'wan' or s.name == 'loc_client' then
			table.insert(sections, s['.name'])
		end
	end)
	for _, section in ipairs(sections) do
		for _, option in ipairs({ 'input', 'forward' }) do
			if uci:get('firewall', section, option) == 'ACCEPT' then
				uci:set('firewall', section, option, 'REJECT')
			end
		end
	end
end

-- Options of dhcp.client that are Parker's: all that begin with one of these.
M.OPTIONS = { 'option:ntp-server,', 'option:mtu,', 'option:ipv6-only,', 'vendor:ubnt,1,', '138,' }

-- The entries of dhcp.client.dhcp_option that are not Parker's.
function M.foreign_options(uci)
	local foreign = {}
	for _, option in ipairs(uci:get_list('dhcp', 'client', 'dhcp_option')) do
		local ours = false
		for _, prefix in ipairs(M.OPTIONS) do
			ours = ours or option:sub(1, #prefix) == prefix
		end
		if not ours then
			table.insert(foreign, option)
		end
	end
	return foreign
end

-- Puts the tunnels into dnsmasq's notinterface list, or takes them out of it. The command uci leaves the other entries
-- of the list where they are; it has to come after the cursor's last save.
function M.serve_tunnels(uci, serve)
	local dnsmasq = uci:get_first('dhcp', 'dnsmasq')
	local had = false
	for _, name in ipairs(dnsmasq and uci:get_list('dhcp', dnsmasq, 'notinterface') or {}) do
		had = had or name == M.notinterface
	end
	if dnsmasq and had == serve then
		local command = serve and 'del_list' or 'add_list'
		os.execute('uci ' .. command .. ' dhcp.' .. dnsmasq .. ".notinterface='" .. M.notinterface .. "'")
	end
end

local function leave_firewall(uci)
	local names = {}
	for name in pairs(M.firewall) do
		if uci:get('firewall', name) then
			table.insert(names, name)
		end
	end
	table.sort(names)
	for _, name in ipairs(names) do
		uci:delete('firewall', name)
	end
	return #names > 0
end

local function leave_dhcp(uci)
	local client = uci:get_all('dhcp', 'client')
	if uci:get('dhcp', 'parker_unifi') then
		uci:delete('dhcp', 'parker_unifi')
	end
	if uci:get('dhcp', 'local_client', 'interface') == M.aside then
		uci:set('dhcp', 'local_client', 'interface', 'client')
	end
	if client then
		uci:set('dhcp', 'client', 'dhcp_option', M.foreign_options(uci))
	end
	-- What the hook 50-parker-client has set with the first tunnel.
	if client and client.force == '1' and client.leasetime == '3m' then
		for _, option in ipairs({ 'start', 'limit', 'leasetime', 'force' }) do
			uci:delete('dhcp', 'client', option)
		end
	end
	-- A section that says no more than where it belongs.
	client = uci:get_all('dhcp', 'client')
	for option in pairs(client or {}) do
		if option:sub(1, 1) ~= '.' and option ~= 'interface' then
			client = nil
		end
	end
	if client then
		uci:delete('dhcp', 'client')
	end
end

-- The moved address of a node that shares its own with others.
local function leave_address(uci)
	if not uci:get('parker', 'client') then
		return
	end
	uci:delete('parker', 'client')
	uci:save('parker')
end

-- Takes from UCI what a Parker node had there. Without a trace of Parker it changes nothing. /etc/config/network is
-- made anew by Gluon with each upgrade, but one option is taken over from the old file: a router for its clients
-- announces itself as batman-adv's gateway, which this node no longer is.
function M.leave(uci)
	local old = uci:get('network_gluon-old', 'wan_skip') ~= nil
	local was = leave_firewall(uci) or old
	if was then
		M.close_firewall(uci)
		leave_dhcp(uci)
		leave_address(uci)
		if uci:get('network', 'gluon_bat0', 'gw_mode') == 'server' then
			uci:set('network', 'gluon_bat0', 'gw_mode', 'client')
		end
		for _, package in ipairs({ 'firewall', 'dhcp', 'network' }) do
			uci:save(package)
		end
		M.serve_tunnels(uci, true)
	end
	os.remove(M.sysctl)
end

return M
