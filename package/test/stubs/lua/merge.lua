-- The site and a domain become one, as Gluon does it in two places, which differ:
--
--   on the node (libgluonutil): objects are merged, all else is replaced. An empty table is a list there, [] in JSON, and
--   replaces what the site has.
--   at the build (check-site.lua of gluon-core): lists are merged as well, entry by entry, and what is empty or false in
--   the domain leaves what the site has.

local function is_list(t)
	local n = 0
	for _ in pairs(t) do
		n = n + 1
	end
	return n == #t
end

local function both(a, b, merge)
	local t = {}
	for k, v in pairs(a) do
		t[k] = v
	end
	for k, v in pairs(b) do
		t[k] = merge(t[k], v)
	end
	return t
end

local M = {}

function M.node(a, b)
	if b == nil then
		return a
	elseif type(a) ~= 'table' or type(b) ~= 'table' or is_list(a) or is_list(b) then
		return b
	end
	return both(a, b, M.node)
end

function M.build(a, b)
	if not b then
		return a
	elseif type(a) ~= 'table' or type(b) ~= 'table' then
		return b
	elseif not next(b) then
		return a
	elseif is_list(a) ~= is_list(b) then
		return b
	end
	return both(a, b, M.build)
end

return M
