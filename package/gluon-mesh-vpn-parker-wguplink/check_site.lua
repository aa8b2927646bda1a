-- Checks the site's part about Parker when an image is built. Each message names the key, what it has to be, and what
-- it is.

if not need_table({ 'mesh_vpn', 'parker' }, nil, not need_table({ 'mesh_vpn', 'wireguard' }, nil, false)) then
	return
end

local function each(pattern)
	return function(v)
		local list = type(v) == 'table' and v or { v }
		for _, e in ipairs(list) do
			if type(e) ~= 'string' or not e:match(pattern) then
				return false
			end
		end
		return #list > 0
	end
end

need({ 'mesh_vpn', 'parker', 'mtu' }, function(v)
	return type(v) == 'number' and v % 1 == 0 and v >= 1280 and v <= 1500
end, true, 'be a number of bytes, 1280 to 1500, such as 1375')
need({ 'parker', 'config_server' }, each('^[%w._:/%[%]-]+$'), true,
	"be the configuration server's host name, such as 'config.example.org', or a list of these")
need({ 'parker', 'config_pubkey' }, function(v)
	return type(v) == 'string' and #v == 56 and v:match('^RW[%w+/]+$') ~= nil
end, true, "be a signify public key: the second line of the '.pub' file, 56 characters that begin with RW")
need({ 'ntp_servers' }, each('^%S+$'), true, 'have at least one server: the node has to know the time')

-- What dnsmasq would not start with must not get into an image.
local function is_ip4(v)
	local octets = type(v) == 'string' and { v:match('^(%d+)%.(%d+)%.(%d+)%.(%d+)$') } or {}
	for _, octet in ipairs(octets) do
		if tonumber(octet) > 255 or octet ~= tostring(tonumber(octet)) then
			return false
		end
	end
	return #octets == 4
end

local function all_ip4(v)
	local list = type(v) == 'table' and v or { v }
	for _, e in ipairs(list) do
		if not is_ip4(e) then
			return false
		end
	end
	return #list > 0
end

local LIST = "be an IPv4 address, such as '10.0.0.1', or a list of these"
need({ 'parker', 'client_ntp_servers4' }, all_ip4, false, LIST)
need({ 'parker', 'omada_controllers4' }, all_ip4, false, LIST)
need({ 'parker', 'unifi_controller4' }, is_ip4, false, "be an IPv4 address, such as '10.0.0.1'")
