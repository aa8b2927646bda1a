-- Checks the site's part about the mesh VPN when an image is built. Each message names the key, what it has to be, and
-- what it is.

local path = { 'mesh_vpn', 'wireguard' }

local function at(...)
	return extend(path, {...})
end

local function is(pattern)
	return function(v)
		return type(v) == 'string' and v:match(pattern) ~= nil
	end
end

local function is_integer(from, to)
	return function(v)
		return type(v) == 'number' and v % 1 == 0 and v >= from and v <= to
	end
end

-- One string, or a list of them that has at least one.
local function each(check)
	return function(v)
		if type(v) ~= 'table' then
			return check(v)
		end
		for _, e in ipairs(v) do
			if not check(e) then
				return false
			end
		end
		return #v > 0
	end
end

local is_key = is('^' .. ('[%a%d+/]'):rep(42) .. '[AEIMQUYcgkosw480]=$')

local function is_endpoint(v)
	local host, port = tostring(v):match('^(.+):(%d+)$')
	port = tonumber(port)
	if type(v) ~= 'string' or not port or port < 1 or port > 65535 then
		return false
	end
	return host:match('^%[[%x:.]+%]$') ~= nil or host:match('^[%w._-]+$') ~= nil
end

-- [http[s]://]host[:port][/path]
local function is_broker(v)
	if type(v) ~= 'string' then
		return false
	end
	local rest = v:match('^https?://(.*)$') or v
	local after = rest:match('^[%w._-]+(.*)$') or rest:match('^%[[%x:]+%](.*)$')
	local port, path_there = (after or '?'):match('^(:?%d*)(.*)$')
	return (port == '' or port:match('^:%d+$') ~= nil) and (path_there == '' or path_there:match('^/[/%w._~%%-]*$') ~= nil)
end

local KEY = "be a WireGuard public key, 44 characters of base64 as 'wg pubkey' prints it"
local ENDPOINT = "be 'host:port', 'address:port' or '[IPv6 address]:port', or a list of these"
local BROKER = "be the broker's address, such as 'broker.example.org' or 'https://broker.example.org', or a list of these"
local LINK = "be the gateway's link-local address in the tunnel, such as 'fe80::2a6:8fff:fe21:5465', without prefix length"

local wg = need_table(path, nil, false)
if not wg then
	if need_table({ 'mesh_vpn', 'parker' }, nil, false) then
		-- gluon-mesh-vpn-parker-wguplink checks that.
		return
	end
	need_table(path)
end

need(at('mtu'), is_integer(1280, 1500), true,
	'be the MTU of the mesh VPN in bytes, 1280 to 1500, such as 1406')

local broker = need(at('broker'), each(is_broker), false, BROKER)
local protocol = need_one_of(at('protocol'), { 'static', 'wgkex', 'ffac' }, false)
local loadbalancing = need_one_of(at('loadbalancing'), { 'on', 'off', 'on-by-default', 'off-by-default' }, false)
local peers = need_table(at('peers'), nil, false) or {}

-- Gluon's dialect has public_key, Munich's publickey and link_address. A gateway can have its own link address in both.
local dialect
for name, peer in pairs(peers) do
	if type(name) ~= 'number' then
		need_alphanumeric_key(at('peers', name))
	end
	need_table(at('peers', name))
	if peer.public_key ~= nil and peer.publickey ~= nil then
		need_value(at('peers', name, 'publickey'), nil, false)
	end
	local key = peer.publickey ~= nil and 'publickey' or 'public_key'
	if peer.publickey == nil and peer.public_key == nil and (peer.link_address or dialect == 'publickey') then
		key = 'publickey'
	end
	need(at('peers', name, key), is_key, true, KEY)
	need(at('peers', name, 'endpoint'), each(is_endpoint), true, ENDPOINT)
	need(at('peers', name, 'link_address'), is('^[fF][eE][89abAB]%x:[%x:]*$'), key == 'publickey', LINK)
	need(at('peers', name, 'allowed_ips'), each(is('^[%x:.]+/?%d*$')), false,
		"be a list of prefixes such as 'fe80::1/128'")
	if dialect and dialect ~= key then
		need(at('peers', name, key), function() return false end, true,
			"be called '" .. dialect .. "', as for the other peers")
	end
	dialect = key
end

protocol = protocol or (not broker and 'static') or (dialect == 'public_key' and 'ffac') or 'wgkex'
if protocol ~= 'static' then
	need(at('broker'), each(is('.')), true, BROKER)
end
if protocol ~= 'wgkex' or (loadbalancing and loadbalancing ~= 'on') then
	need(at('peers'), function() return next(peers) ~= nil end, true,
		'have at least one gateway: there is no broker that chooses one')
end

need(at('vxlan_id'), is_integer(1, 16777215), false, 'be a number from 1 to 16777215')
if not need_number(at('vxlan_id'), false) then
	need({ 'domain_seed' }, is('^' .. ('%x'):rep(64) .. '$'), true,
		'be 64 hexadecimal digits: the number of the VXLAN follows from it')
end
need(at('iface'), function(v)
	return type(v) == 'string' and v:match('^[%w._-]+$') ~= nil and #v <= 15 and v ~= 'mesh-vpn'
end, false, "be the name of the WireGuard device, at most 15 characters, and not 'mesh-vpn', which is the VXLAN's")
need(at('domain'), is('^[%w._-]+$'), false, "be the domain's name at the broker: letters, digits, dots, dashes, underscores")
need_string(at('location'), false)
need_string(at('node_name'), false)
need(at('broker_ca'), function(v)
	return v == 'none' or (type(v) == 'string' and v:sub(1, 1) == '/')
end, false, "be the absolute path of a PEM file on the node, or 'none'")
need(at('broker_pin'), each(is('^[%w+/=]+$')), false, "be a list of SHA-256 digests of the broker's public key")
need(at('broker_timeout'), is_integer(1, 300), false, 'be a number of seconds from 1 to 300')
need(at('ntp_servers'), each(is('^%S+$')), false, 'be a list of time servers that answer through the WAN')
need(at('ntp_grace'), is_integer(0, 3600), false, 'be a number of seconds from 0 to 3600')
need(at('dns'), each(is('^[%x:.%[%]]+$')), false, "be a list of name servers' addresses")
need(at('keepalive'), is_integer(1, 65535), false, 'be a number of seconds from 1 to 65535')
need_one_of(at('address_family'), { 'auto', 'prefer6', 'only6', 'only4' }, false)
need_one_of(at('backend'), { 'auto', 'kernel', 'userspace' }, false)
need_one_of(at('rebalance'), { 'off', 'daily' }, false)
need_one_of(at('link_local'), { 'key', 'key_newline' }, false)
need_one_of(at('link_prefix'), { 64, 128 }, false)
need(at('vxlan_port'), is_integer(1, 65535), false, 'be a port from 1 to 65535')
need_string(at('vxlan_seed_key'), false)
need_boolean(at('vxlan_checksum'), false)
need(at('batman_throughput'), function(v)
	return v == 'auto' or is_integer(1, 100000000)(v)
end, false, "be 'auto' or a number of kbit/s")
need(at('batman_hop_penalty'), is_integer(0, 255), false, 'be a number from 0 to 255')

obsolete({ 'mesh_vpn', 'pubkey_privacy' }, 'WireGuard does not show its key to third parties. Delete the line.')
