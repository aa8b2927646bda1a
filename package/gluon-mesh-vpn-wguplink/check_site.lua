-- Checks the site's part about the mesh VPN when an image is built. Each message names the key, what it has to be, and
-- what it is. Gluon pastes this file into a script of the package, so that all of it is here.

-- BEGIN generated
-- From package/rules.lua and the agent's tables of options, by scripts/rules. Do not edit it here.
-- luacheck: push no max line length
-- The kinds of values that options of the agent have, with the agent's own verdicts, for Lua 5.1. A value is text, as
-- in UCI. package/test compares the verdicts of both sides.

local rules = {} -- luacheck: ignore 241
local kinds = {}

local KEY = '^' .. ('[A-Za-z0-9+/]'):rep(42) .. '[AEIMQUYcgkosw480]=$'

local function decimal(v, from, to)
	if not v:match('^[0-9]+$') or #v:gsub('^0+', '') > 20 then
		return false
	end
	local n = tonumber(v)
	return n >= from and n <= to
end

-- The four bytes of an IPv4 address; nil for anything else.
local function address4(v)
	local four = { v:match('^([0-9]+)%.([0-9]+)%.([0-9]+)%.([0-9]+)$') }
	for i, octet in ipairs(four) do
		if #octet > 3 or octet:match('^0[0-9]') or tonumber(octet) > 255 then
			return nil
		end
		four[i] = tonumber(octet)
	end
	return #four == 4 and four or nil
end

-- The eight groups of an IPv6 address or the four bytes of an IPv4 address, and which of the two; nil for anything
-- else.
local function address(v)
	local four = address4(v)
	if four then
		return four, 4
	end
	local head, tail = v, nil
	local at = v:find('::', 1, true)
	if at then
		head, tail = v:sub(1, at - 1), v:sub(at + 2)
		if tail:find('::', 1, true) or tail:sub(1, 1) == ':' then
			return nil
		end
	end
	-- The groups of a part; IPv4 may stand at the very end.
	local function groups(part, last)
		local list = {}
		if part == '' then
			return list
		end
		for group in (part .. ':'):gmatch('([^:]*):') do
			table.insert(list, group)
		end
		for i, group in ipairs(list) do
			if last and i == #list and group:find('.', 1, true) then
				local bytes = address4(group)
				if not bytes then
					return nil
				end
				list[i] = bytes[1] * 256 + bytes[2]
				list[i + 1] = bytes[3] * 256 + bytes[4]
				break
			elseif not group:match('^[0-9A-Fa-f]+$') or #group > 4 then
				return nil
			end
			list[i] = tonumber(group, 16)
		end
		return list
	end
	local first, second = groups(head, not at), groups(tail or '', true)
	if not first or not second then
		return nil
	end
	local missing = 8 - #first - #second
	if (at and missing < 1) or (not at and missing ~= 0) then
		return nil
	end
	for _ = 1, missing do
		table.insert(first, 0)
	end
	for _, group in ipairs(second) do
		table.insert(first, group)
	end
	return first, 6
end

local function mapped(a)
	return a[1] + a[2] + a[3] + a[4] + a[5] == 0 and a[6] == 0xffff
end

-- The family of an address that a host can have; nil for anything else.
local function unicast(v)
	local a, family = address(v)
	if not a then
		return nil
	end
	local sum = 0
	for _, n in ipairs(a) do
		sum = sum + n
	end
	if sum == 0 or (family == 4 and ((a[1] >= 224 and a[1] <= 239) or sum == 1020)) or
		(family == 6 and (a[1] >= 0xff00 or mapped(a))) then
		return nil
	end
	return family
end

local function hostname(v)
	v = v:gsub('%.$', '')
	if v == '' or #v > 253 then
		return false
	end
	local last
	for label in (v .. '.'):gmatch('([^.]*)%.') do
		if #label > 63 or not label:match('^[A-Za-z0-9_-]+$') or label:match('^%-') or label:match('%-$') then
			return false
		end
		last = label
	end
	return not last:match('^[0-9]+$')
end

-- Host and port of "host", "host:port", "[IPv6]" and "[IPv6]:port"; nil for anything else.
local function split_host(v)
	local host, tail = v:match('^%[([^%]]*)%](.*)$')
	if host then
		if unicast(host) ~= 6 then
			return nil
		end
	else
		host, tail = v:match('^([^:]*)(.*)$')
		if v:sub(1, 1) == '[' or (unicast(host) ~= 4 and not hostname(host)) then
			return nil
		end
	end
	if tail == '' then
		return host, 0
	end
	local port = tail:match('^:([0-9]+)$')
	if not port or not decimal(port, 1, 65535) then
		return nil
	end
	return host, tonumber(port)
end

function kinds.endpoint(v)
	local _, port = split_host(v)
	return port ~= nil and port > 0
end

function kinds.server(v)
	return unicast(v) == 6 or split_host(v) ~= nil
end

function kinds.resolver(v)
	local host = split_host(unicast(v) == 6 and '[' .. v .. ']' or v)
	return host ~= nil and unicast(host) ~= nil
end

function kinds.unicast(v)
	return unicast(v) ~= nil
end

function kinds.prefix(v)
	local ip, bits = v:match('^(.*)/([^/]*)$')
	local a, family = address(ip or v)
	if not a or (family == 6 and mapped(a)) then
		return false
	end
	return not ip or (bits:match('^[0-9]+$') ~= nil and not bits:match('^0[0-9]') and #bits <= 3 and
		tonumber(bits) <= (family == 4 and 32 or 128))
end

function kinds.broker(v)
	local scheme, rest = v:match('^(.-)://(.*)$')
	if scheme and scheme:lower() ~= 'http' and scheme:lower() ~= 'https' then
		return false
	end
	local authority, path = (rest or v):match('^([^/]*)(.*)$')
	if not split_host(authority) then
		return false
	end
	path = path:gsub('/+$', ''):gsub('^/', '')
	if path == '' then
		return true
	end
	for segment in (path .. '/'):gmatch('([^/]*)/') do
		if segment == '.' or segment == '..' or not segment:match('^[A-Za-z0-9._~-]+$') then
			return false
		end
	end
	return true
end

-- Characters that a name cannot have, as numbers of Unicode: controls, unusual spaces, marks of direction, private use.
local UNPRINTABLE = {
	{ 0x00, 0x1f }, { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f },
	{ 0x3000, 0x3000 }, { 0xe000, 0xf8ff }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0x10ffff },
}

-- The first byte of a character of UTF-8 says how many follow, and what the smallest is that needs so many.
local function character(v, at)
	local first = v:byte(at)
	local more, n, least = 0, first, 0
	if first >= 0xf0 and first <= 0xf4 then
		more, n, least = 3, first - 0xf0, 0x10000
	elseif first >= 0xe0 and first < 0xf0 then
		more, n, least = 2, first - 0xe0, 0x800
	elseif first >= 0xc2 and first < 0xe0 then
		more, n, least = 1, first - 0xc0, 0x80
	elseif first >= 0x80 then
		return nil
	end
	for i = 1, more do
		local byte = v:byte(at + i)
		if not byte or byte < 0x80 or byte > 0xbf then
			return nil
		end
		n = n * 64 + byte - 0x80
	end
	if n < least or n > 0x10ffff or (n >= 0xd800 and n <= 0xdfff) then
		return nil
	end
	return n, more + 1
end

function kinds.text(v)
	if v == '' or #v > 64 then
		return false
	end
	local at = 1
	while at <= #v do
		local n, length = character(v, at)
		if not n then
			return false
		end
		for _, range in ipairs(UNPRINTABLE) do
			if n >= range[1] and n <= range[2] then
				return false
			end
		end
		at = at + length
	end
	return true
end

function kinds.link(v)
	if v == '' or #v > 15 or v == '.' or v == '..' or v:find('[/:%%]') then
		return false
	end
	for i = 1, #v do
		if v:byte(i) <= 0x20 or v:byte(i) >= 0x7f then
			return false
		end
	end
	return true
end

function kinds.path(v)
	if #v < 2 or #v > 4095 or v:sub(1, 1) ~= '/' or v:sub(-1) == '/' then
		return false
	end
	for i = 1, #v do
		if v:byte(i) < 0x20 or v:byte(i) == 0x7f then
			return false
		end
	end
	return true
end

function kinds.path_or_none(v)
	return v == 'none' or kinds.path(v)
end

function kinds.key(v)
	return v:match(KEY) ~= nil
end

function kinds.hex64(v)
	return #v == 64 and v:match('^[0-9A-Fa-f]+$') ~= nil
end

function kinds.pin(v)
	local rest = v:match('^sha256/(.*)$')
	if rest then
		return kinds.key(rest) or (rest:sub(1, 1) == '/' and kinds.key(rest:sub(2)))
	end
	return kinds.hex64(v) or kinds.key(v)
end

-- "Ed", the number of the key and the key are 42 bytes.
function kinds.signing_key(v)
	return #v == 56 and v:match('^RW[QRST][A-Za-z0-9+/]+$') ~= nil
end

function kinds.domain(v)
	return #v <= 64 and v:match('^[A-Za-z0-9._-]+$') ~= nil
end

function kinds.name(v)
	return v:match('^[A-Za-z0-9_]+$') ~= nil
end

function kinds.place(v)
	local package, section, option = v:match('^([^.]*)%.([^.]*)%.(.*)$')
	if not package or not package:match('^[A-Za-z0-9_-]+$') or not kinds.name(option) then
		return false
	end
	local index = section:match('^@[A-Za-z0-9_-]+%[%-?([0-9]+)%]$')
	return kinds.name(section) or (index ~= nil and decimal(index, 0, 65536))
end

function kinds.mark(v)
	local hex = v:match('^0[xX]([0-9A-Fa-f]+)$')
	if hex then
		return #hex:gsub('^0+', '') <= 8
	end
	return decimal(v, 0, 4294967295)
end

function kinds.words(v, rule)
	for _, word in ipairs(rule.among) do
		if v == word then
			return true
		end
	end
	return false
end

function kinds.bool(v)
	return kinds.words(v, {
		among = { '1', 'true', 'on', 'yes', 'enabled', '0', 'false', 'off', 'no', 'disabled' }
	})
end

function kinds.numbers(v, rule)
	for _, number in ipairs(rule.among) do
		if decimal(v, number, number) then
			return true
		end
	end
	return false
end

function kinds.number(v, rule)
	return (rule.auto and v == 'auto') or decimal(v, rule.from, rule.to)
end

function kinds.seconds(v, rule)
	local whole, fraction = v:match('^([0-9]+)%.([0-9]+)$')
	if not whole then
		whole, fraction = v, ''
	end
	if #fraction > 9 or not decimal(whole, 0, rule.to) then
		return false
	end
	local n = tonumber(whole) + (fraction == '' and 0 or tonumber('0.' .. fraction))
	return n >= rule.from and n <= rule.to
end

function kinds.whole_seconds(v, rule)
	return kinds.seconds(v, rule) and (v:match('^[0-9]+$') or v:match('^[0-9]+%.0+$')) ~= nil
end

-- Whether the agent takes a text for an option of a section "uplink" or "gateway".
function rules.good(section, option, v)
	local rule = rules[section][option]
	return kinds[rule.kind](v, rule) and true or false
end

-- Whether an uplink with this protocol and mode vxlan has a use for the option.
function rules.fits(option, protocol)
	local rule = rules.uplink[option]
	return not rule.protocols or kinds.words(protocol, { among = rule.protocols })
end

-- Whether an address is within one of the prefixes, all of them good ones.
function rules.covered(ip, prefixes)
	local a, family = address(ip)
	local width = family == 4 and 8 or 16
	for _, prefix in ipairs(prefixes) do
		local net, bits = prefix:match('^(.*)/(.*)$')
		local b, other = address(net or prefix)
		bits = tonumber(bits) or #b * width
		local same = family == other
		for i = 1, same and #a or 0 do
			local unit = 2 ^ math.max(0, width - math.max(0, bits - (i - 1) * width))
			same = same and math.floor(a[i] / unit) == math.floor(b[i] / unit)
		end
		if same then
			return true
		end
	end
	return false
end

rules.uplink = {
	enabled = { kind = 'bool',
		allowed = '1, true, on, yes, enabled, or 0, false, off, no, disabled' },
	protocol = { kind = 'words', among = { 'static', 'wgkex', 'parker', 'ffac' },
		allowed = 'static, wgkex, parker, ffac' },
	broker = { kind = 'broker', list = true, protocols = { 'wgkex', 'parker', 'ffac' },
		allowed = '[https://]host[:port][/path] or http://host[:port][/path], without user, query or fragment' },
	broker_ca = { kind = 'path_or_none', protocols = { 'wgkex', 'parker', 'ffac' },
		allowed = 'the absolute path of a PEM file, or none' },
	broker_pin = { kind = 'pin', list = true, protocols = { 'wgkex', 'parker', 'ffac' },
		allowed = 'sha256/ and 32 bytes in base64, the same without sha256/, or 64 hexadecimal digits' },
	broker_timeout = { kind = 'seconds', from = 0.1, to = 300, protocols = { 'wgkex', 'parker', 'ffac' },
		allowed = 'seconds from 0.1 to 300' },
	broker_choice = { kind = 'bool', protocols = { 'wgkex' },
		allowed = '1, true, on, yes, enabled, or 0, false, off, no, disabled' },
	domain = { kind = 'domain', protocols = { 'wgkex' },
		allowed = '1 to 64 letters, digits, dots, dashes and underscores' },
	config_pubkey = { kind = 'signing_key', protocols = { 'parker' },
		allowed = 'a signify public key: one line of base64' },
	node_name = { kind = 'text', protocols = { 'ffac' },
		allowed = '1 to 64 bytes of printable text' },
	location = { kind = 'text', protocols = { 'wgkex' },
		allowed = '1 to 64 bytes of printable text' },
	ntp_server = { kind = 'server', list = true,
		allowed = 'a host name or an address, with :port if it is not the usual one; an IPv6 address with a port in brackets' },
	ntp_grace = { kind = 'seconds', from = 0, to = 3600,
		allowed = 'seconds from 0 to 3600' },
	dns = { kind = 'resolver', list = true,
		allowed = 'an address, with :port if it is not 53; an IPv6 address with a port in brackets' },
	wan_device = { kind = 'link',
		allowed = '1 to 15 printable characters without space, /, : or %, and not . or ..' },
	limit_ingress = { kind = 'number', from = 0, to = 34359738,
		allowed = 'kbit/s from 1 to 34359738, or 0' },
	limit_egress = { kind = 'number', from = 0, to = 34359738,
		allowed = 'kbit/s from 1 to 34359738, or 0' },
	interface = { kind = 'link',
		allowed = '1 to 15 printable characters without space, /, : or %, and not . or ..' },
	backend = { kind = 'words', among = { 'auto', 'kernel', 'userspace' },
		allowed = 'auto, kernel, userspace' },
	fwmark = { kind = 'mark',
		allowed = '0 to 4294967295, or 0x0 to 0xffffffff' },
	listen_port = { kind = 'number', from = 0, to = 65535, protocols = { 'static', 'wgkex', 'ffac' },
		allowed = '0 to 65535' },
	keepalive = { kind = 'whole_seconds', from = 1, to = 65535,
		allowed = 'whole seconds from 1 to 65535' },
	mtu = { kind = 'number', from = 1280, to = 65535, auto = true,
		allowed = 'auto, or 1280 to 65535' },
	link_local = { kind = 'words', among = { 'key_newline', 'key' }, protocols = { 'static', 'wgkex', 'ffac' },
		allowed = 'key_newline, key' },
	link_prefix = { kind = 'numbers', among = { 64, 128 }, protocols = { 'static', 'wgkex', 'ffac' },
		allowed = '64, 128' },
	route_allowed_ips = { kind = 'bool',
		allowed = '1, true, on, yes, enabled, or 0, false, off, no, disabled' },
	address_family = { kind = 'words', among = { 'auto', 'prefer6', 'only6', 'only4' },
		allowed = 'auto, prefer6, only6, only4' },
	probe_interval = { kind = 'seconds', from = 2, to = 120,
		allowed = 'seconds from 2 to 120' },
	fleet = { kind = 'number', from = 0, to = 1000000,
		allowed = '0 to 1000000' },
	rebalance = { kind = 'words', among = { 'off', 'daily' },
		allowed = 'off, daily' },
	update_watchdog = { kind = 'number', from = 0, to = 8760,
		allowed = '0 to 8760' },
	mode = { kind = 'words', among = { 'vxlan', 'layer3' }, protocols = { 'static', 'wgkex', 'ffac' },
		allowed = 'vxlan, layer3' },
	vxlan_interface = { kind = 'link', protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1 to 15 printable characters without space, /, : or %, and not . or ..' },
	vxlan_id = { kind = 'number', from = 1, to = 16777215, protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1 to 16777215' },
	domain_seed = { kind = 'hex64', protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '64 hexadecimal digits' },
	vxlan_seed_key = { kind = 'text', protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1 to 64 bytes of printable text' },
	vxlan_port = { kind = 'number', from = 1, to = 65535, protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1 to 65535' },
	vxlan_checksum = { kind = 'bool', protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1, true, on, yes, enabled, or 0, false, off, no, disabled' },
	vxlan_mtu = { kind = 'number', from = 576, to = 65465, auto = true, protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = 'auto, or 576 to 65465, and not more than mtu - 70' },
	batman = { kind = 'link', protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '1 to 15 printable characters without space, /, : or %, and not . or ..' },
	batman_throughput = { kind = 'number', from = 100, to = 4294967295, auto = true, protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = 'auto, or 100 to 4294967295' },
	batman_hop_penalty = { kind = 'number', from = 0, to = 255, protocols = { 'static', 'wgkex', 'ffac' }, modes = { 'vxlan' },
		allowed = '0 to 255' },
	key_file = { kind = 'path',
		allowed = 'the absolute path of a file' },
	key_import = { kind = 'place', list = true,
		allowed = 'package.section.option' },
}

rules.gateway = {
	enabled = { kind = 'bool',
		allowed = '1, true, on, yes, enabled, or 0, false, off, no, disabled' },
	uplink = { kind = 'name',
		allowed = 'the name of an uplink section' },
	public_key = { kind = 'key',
		allowed = 'a WireGuard key: 44 characters of base64' },
	endpoint = { kind = 'endpoint', list = true,
		allowed = 'host:port, address:port or [IPv6 address]:port with a port from 1 to 65535' },
	link_address = { kind = 'unicast',
		allowed = 'a link-local IPv6 address, in mode layer3 any unicast address; without prefix length' },
	allowed_ips = { kind = 'prefix', list = true,
		allowed = 'prefixes such as fe80::1/128' },
}
-- luacheck: pop
-- END generated

local path = { 'mesh_vpn', 'wireguard' }

local function at(...)
	return extend(path, {...})
end

local function refuse(where, msg)
	need(where, function() return false end, true, msg)
end

-- A sentence that ends no build; it is said once, however many domains there are.
local function warn(text)
	local said = rawget(_G, 'wguplink_said') or {}
	rawset(_G, 'wguplink_said', said)
	if not said[text] then
		said[text] = true
		io.stderr:write('wguplink: warning: ' .. text .. '\n')
	end
end

-- How many letters have to be changed, added or taken away to make one word of another.
local function distance(a, b)
	local row = {}
	for j = 0, #b do
		row[j] = j
	end
	for i = 1, #a do
		local diagonal = row[0]
		row[0] = i
		for j = 1, #b do
			local cost = a:byte(i) == b:byte(j) and diagonal or diagonal + 1
			diagonal = row[j]
			row[j] = math.min(cost, row[j] + 1, row[j - 1] + 1)
		end
	end
	return row[#b]
end

-- Refuses a key that is not among the known ones, with the nearest of them.
local function known(where, keys)
	for key in pairs(need_table(where)) do
		local best, nearest
		for _, k in ipairs(keys) do
			local d = distance(tostring(key):lower(), k)
			if not best or d < best then
				best, nearest = d, k
			end
		end
		if best ~= 0 or key ~= nearest then
			refuse(extend(where, { key }), "not be there: there is no such key. The nearest is '" .. nearest .. "'")
		end
	end
end

-- What a value of the site is in UCI; nil for a type that the option has not.
local function text(v, kind)
	if type(v) == 'boolean' then
		return kind == 'bool' and (v and '1' or '0') or nil
	elseif type(v) == 'number' then
		local numeric = kind == 'number' or kind == 'numbers' or kind == 'seconds' or kind == 'whole_seconds'
		if not numeric then
			return nil
		end
		return v % 1 == 0 and string.format('%.0f', v) or (string.format('%.9f', v):gsub('0+$', ''))
	elseif type(v) == 'string' and kind ~= 'bool' then
		if (kind == 'number' or kind == 'numbers' or kind == 'seconds' or kind == 'whole_seconds') and v ~= 'auto' then
			return nil
		end
		return v
	end
end

-- A check by the agent's own rule. An empty value would be none for the agent.
local function agent(section, option)
	local rule = rules[section][option]
	return function(v)
		local list = type(v) == 'table' and v or { v }
		if type(v) == 'table' and not rule.list then
			return false
		end
		local count = 0
		for _ in pairs(list) do
			count = count + 1
		end
		for _, e in ipairs(list) do
			local word = text(e, rule.kind)
			if not word or word == '' or not rules.good(section, option, word) then
				return false
			end
		end
		return #list > 0 and #list == count
	end, 'be ' .. rule.allowed .. (rule.list and ', or a list of these' or '')
end

local function need_good(where, section, option, required)
	local check, msg = agent(section, option)
	return need(where, check, required, msg)
end

local function each(v)
	return type(v) == 'table' and v or { v }
end

-- Keys of the site, and the options that they become, where the names differ.
local OPTION = { ntp_servers = 'ntp_server', iface = 'interface' }

-- Keys whose values have the agent's rules.
local PLAIN = {
	'address_family', 'backend', 'batman_hop_penalty', 'batman_throughput', 'broker', 'broker_ca', 'broker_pin',
	'broker_timeout', 'dns', 'domain', 'fleet', 'iface', 'keepalive', 'link_local', 'link_prefix', 'location',
	'node_name',
	'ntp_grace', 'ntp_servers', 'rebalance', 'vxlan_checksum', 'vxlan_id', 'vxlan_port', 'vxlan_seed_key',
}

-- All keys; those of the earlier packages that have lost their meaning are told of, and harm nothing.
local KEYS = { 'loadbalancing', 'mtu', 'peers', 'protocol' }
for _, key in ipairs(PLAIN) do
	table.insert(KEYS, key)
end
local OLD = { 'enabled', 'limit' }

-- What Gluon shows of a domain is not what its nodes see: here lists of the site and of the domain are mixed, entry by
-- entry, and what is empty or false in the domain leaves what the site has. A node takes the domain's value, and a list
-- of the domain alone. These are the domain's file, and what it says of mesh_vpn.wireguard and domain_seed.
local conf, own, seed
if this_domain and this_domain() then
	local ok, json = pcall(require, 'jsonc')
	local domain = ok and json.load((os.getenv('IPKG_INSTROOT') or '') .. '/lib/gluon/domains/' .. this_domain() ..
		'.json')
	conf = 'domains/' .. this_domain() .. '.conf'
	domain = type(domain) == 'table' and domain or {}
	local part = domain.mesh_vpn
	seed = domain.domain_seed
	if type(part) == 'table' and next(part) == nil then
		warn(conf .. ": mesh_vpn = {} takes the site's mesh VPN away from nodes of this domain, and Gluon's own " ..
			'scripts fail there. Delete the line')
	end
	if type(part) == 'table' then
		own = part.wireguard
	end
end

-- Refuses a value of the domain that is none, where Gluon's check looks at the site's.
local function stands(where, value)
	if value == false or (type(value) == 'table' and next(value) == nil) then
		refuse(where, 'have a value in ' .. conf ..
			", or not to be there: nodes of this domain do not take the site's instead")
	end
end

local wg = need_table(path, nil, false)
if not wg then
	local others = {}
	for name, part in pairs(need_table({ 'mesh_vpn' }, nil, false) or {}) do
		if type(part) == 'table' and name ~= 'bandwidth_limit' then
			table.insert(others, name)
		end
	end
	if #others > 0 then
		-- Another provider serves this domain, and its package checks that.
		return
	end
	need_table(path)
end

stands(path, own)
own = type(own) == 'table' and own or {}
for key, value in pairs(own) do
	local rule = rules.uplink[OPTION[key] or key]
	if value ~= false or not rule or rule.kind ~= 'bool' then
		stands(at(key), value)
	end
end

local keys = { unpack(KEYS) }
for _, key in ipairs(OLD) do
	if wg[key] ~= nil then
		warn('mesh_vpn.wireguard.' .. key .. ' has no meaning: mesh_vpn.enabled and mesh_vpn.bandwidth_limit count')
		table.insert(keys, key)
	end
end
known(path, keys)
-- Without peers another dialect would be taken, and the fault be named elsewhere.
need(at('peers'), function(v) return type(v) ~= 'table' or next(v) ~= nil end, false,
	'have a gateway, or not to be there')

-- What is on the line: VXLAN takes 70 bytes of WireGuard's MTU, WireGuard 60 bytes with IPv4 and 80 with IPv6.
local mtu = need(at('mtu'), function(v)
	return v == 'auto' or (type(v) == 'number' and v % 1 == 0 and v >= 1280 and v <= 1500)
end, true, "be the MTU of the mesh VPN in bytes, 1280 to 1500, such as 1330, or 'auto'")
if mtu ~= 'auto' and mtu + 150 > 1492 then
	warn(string.format('mesh_vpn.wireguard.mtu is %d: packets on the line are up to %d bytes with IPv4 and %d with IPv6; ' ..
		'lines have 1500, with PPPoE 1492, IPv4 over DS-Lite 1452. Larger packets are fragmented. 1342 fits PPPoE, 1322 DS-Lite',
		mtu, mtu + 130, mtu + 150))
end

for _, key in ipairs(PLAIN) do
	need_good(at(key), 'uplink', OPTION[key] or key, false)
end
need(at('iface'), function(v) return v ~= 'mesh-vpn' end, false,
	"be the name of the WireGuard device, and not 'mesh-vpn', which is the VXLAN's")

local broker = wg.broker
local protocol = need_one_of(at('protocol'), { 'static', 'wgkex', 'ffac' }, false)
local loadbalancing = need_one_of(at('loadbalancing'), { 'on', 'off', 'on-by-default', 'off-by-default' }, false)
local peers = need_table(at('peers'), nil, false) or {}
local alone = type(own.peers) == 'table' and #own.peers > 0 -- a list in the domain
if alone then
	peers = own.peers
end

-- What a peer needs has to be in the list that the node takes.
local function has(name, key)
	if alone and peers[name][key] == nil then
		refuse(at('peers', name, key), 'be in the list of ' .. conf ..
			', too: nodes of this domain see nothing of the list of site.conf')
	end
end

-- A peer's own allowed_ips as nodes see them.
local function allowed(name, v)
	local peer = type(own.peers) == 'table' and own.peers[name]
	local list = each(type(peer) == 'table' and peer.allowed_ips or v)
	for i, prefix in ipairs(list) do
		stands(at('peers', name, 'allowed_ips', i), prefix)
	end
	return list
end

-- Gluon's dialect has public_key, Munich's publickey and link_address. A gateway can have its own link address in both.
local dialect
local owner = {}
for name, peer in pairs(peers) do
	if type(name) ~= 'number' then
		need_alphanumeric_key(at('peers', name))
	end
	need_table(at('peers', name))
	if alone then
		stands(at('peers', name), peer)
	end
	known(at('peers', name), { 'allowed_ips', 'endpoint', 'link_address', 'public_key', 'publickey' })
	if peer.public_key ~= nil and peer.publickey ~= nil then
		need_value(at('peers', name, 'publickey'), nil, false)
	end
	local key = peer.publickey ~= nil and 'publickey' or 'public_key'
	if peer.publickey == nil and peer.public_key == nil and (peer.link_address or dialect == 'publickey') then
		key = 'publickey'
	end
	has(name, key)
	need_good(at('peers', name, key), 'gateway', 'public_key', true)
	has(name, 'endpoint')
	need_good(at('peers', name, 'endpoint'), 'gateway', 'endpoint', true)
	if key == 'publickey' then
		has(name, 'link_address')
	end
	need_good(at('peers', name, 'link_address'), 'gateway', 'link_address', key == 'publickey')
	need(at('peers', name, 'link_address'), function(v) return v:match('^[fF][eE][89abAB]') ~= nil end, false,
		"be the gateway's link-local address in the tunnel, such as 'fe80::2a6:8fff:fe21:5465', without prefix length")
	need_good(at('peers', name, 'allowed_ips'), 'gateway', 'allowed_ips', false)
	need(at('peers', name, 'allowed_ips'), function(v)
		return rules.covered(peer.link_address or 'fe80::1', allowed(name, v))
	end, false, "cover the gateway's link address, " .. (peer.link_address or 'fe80::1'))
	if owner[peer[key]] then
		refuse(at('peers', name, key), "be a key of its own: peers." .. owner[peer[key]] .. ' has the same')
	end
	owner[peer[key]] = tostring(name)
	if dialect and dialect ~= key then
		refuse(at('peers', name, key), "be called '" .. dialect .. "', as for the other peers")
	end
	dialect = key
end

if not protocol and not broker and dialect == 'publickey' then
	refuse(at('protocol'),
		"be there, as there is no broker, but gateways have 'publickey': 'wgkex' with a broker, or " ..
		"'static' for gateways that speak as Gluon's own WireGuard does")
end
protocol = protocol or (not broker and 'static') or (dialect == 'public_key' and 'ffac') or 'wgkex'
if protocol ~= 'static' then
	need_good(at('broker'), 'uplink', 'broker', true)
end
if protocol ~= 'wgkex' or (loadbalancing and loadbalancing ~= 'on') then
	need(at('peers'), function(v) return type(v) == 'table' and next(v) ~= nil end, true,
		'have at least one gateway: there is no broker that chooses one')
end
if protocol ~= 'wgkex' and loadbalancing then
	refuse(at('loadbalancing'), "not be there: only protocol 'wgkex' has a use for it, and this is '" .. protocol ..
		"'")
end

-- What the agent has no use for would be left out by it: the site meant something else.
for _, key in ipairs(PLAIN) do
	if wg[key] ~= nil and not rules.fits(OPTION[key] or key, protocol) then
		refuse(at(key), "not be there: protocol '" .. protocol .. "' has no use for it")
	end
end
if wg.broker_ca == 'none' and wg.broker_pin == nil then
	refuse(at('broker_ca'),
		"be the path of a PEM file, or have broker_pin beside it: with 'none' alone any server can be the broker")
end
if wg.broker_pin ~= nil then
	need(at('broker'), function(v)
		for _, url in ipairs(type(own.broker) == 'table' and own.broker or each(v)) do
			if url:lower():match('^http://') then
				return false
			end
		end
		return true
	end, true, "be https://, because broker_pin cannot be checked without encryption")
end

if wg.vxlan_id == nil then
	stands({ 'domain_seed' }, seed)
	need({ 'domain_seed' }, function(v) return type(v) == 'string' and rules.good('uplink', 'domain_seed', v) end, true,
		'be 64 hexadecimal digits: the number of the VXLAN follows from it')
end

obsolete({ 'mesh_vpn', 'pubkey_privacy' }, 'WireGuard does not show its key to third parties. Delete the line.')
