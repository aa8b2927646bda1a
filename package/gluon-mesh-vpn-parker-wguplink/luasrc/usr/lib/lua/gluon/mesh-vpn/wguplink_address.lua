-- Which IPv4 address a node has on the client bridge. Some networks give many nodes the same one: where two of them are
-- in one mesh, clients reach now the one, now the other. One of the two moves to an address that is kept free for that.
-- The numbers are those of the original (ffbs-mesh-vpn-parker in its newest form), so that nodes of both kinds agree.

local M = {
	fresh = 60, -- seconds since batman-adv has last seen the other one
	void = 120, -- seconds after which a clash that is not seen any more counts as a new one
	patience = 300, -- seconds that the node with the lower MAC waits for the other to move
	reserved = 15, -- addresses that nodes move to: hosts 2 to 16 of the range
}

local STEPS = { 1, 2, 4, 7, 8, 11, 13, 14 } -- none has a factor in common with 15

local function number(ip4)
	local a, b, c, d = tostring(ip4):match('^(%d+)%.(%d+)%.(%d+)%.(%d+)$')
	return a and ((a * 256 + b) * 256 + c) * 256 + d
end

local function dotted(n)
	local t = {}
	for i = 4, 1, -1 do
		t[i] = n % 256
		n = math.floor(n / 256)
	end
	return table.concat(t, '.')
end

local function hash(mac)
	local h = 5381
	for i = 1, #mac do
		h = (h * 33 + mac:byte(i)) % 2147483647
	end
	return h
end

-- The k-th address that a node with this MAC moves to; nil where a range is too small for it (fewer than 18 addresses).
function M.candidate(range4, mac, k)
	local address, len = tostring(range4):match('^(.*)/(%d+)$')
	local n = address and number(address)
	len = tonumber(len)
	if not n or len > 27 then
		return nil
	end
	local h = hash(mac:lower())
	local step = STEPS[math.floor(h / M.reserved) % #STEPS + 1]
	local size = 2 ^ (32 - len)
	return dotted(math.floor(n / size) * size + 2 + (h + k * step) % M.reserved)
end

-- Where a node goes that is at this address now.
function M.next_address(range4, mac, now_at)
	local k = 0
	for i = 0, M.reserved - 1 do
		if M.candidate(range4, mac, i) == now_at then
			k = i + 1
		end
	end
	return M.candidate(range4, mac, k)
end

-- The MAC, in small letters, of another node at this address, from "batctl dc -n -H": address, MAC, VLAN,
-- minutes:seconds.
function M.other(cache, address, mac)
	for line in cache:gmatch('[^\n]+') do
		local ip, its, min, sec = line:match('^[%s*]*(%d+%.%d+%.%d+%.%d+)%s+([%x:]+)%s+%-?%d+%s+(%d+):(%d+)')
		if ip == address and its:lower() ~= mac:lower() and min * 60 + sec <= M.fresh then
			return its:lower()
		end
	end
end

-- Whether to move now. clash is what was known, {address, mac, first, last}, or nil; now is an uptime in seconds.
-- Returns that, and what is known.
function M.decide(clash, address, mac, other, now)
	if not other then
		return false, clash and now - clash.last <= M.void and clash or nil
	end
	if not clash or clash.address ~= address or clash.mac ~= other or now - clash.last > M.void then
		clash = { address = address, mac = other, first = now }
	end
	clash.last = now
	return mac:lower() > other or now - clash.first >= M.patience, clash
end

return M
