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
