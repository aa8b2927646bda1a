-- Stand-in for lua-jsonc's parse: a value, or nil and why not.

local M = {}

local ESCAPES = { b = '\b', f = '\f', n = '\n', r = '\r', t = '\t' }

local value

local function space(s, at)
	return s:find('%S', at) or #s + 1
end

local function text(s, at)
	local parts = {}
	while true do
		local stop = s:find('["\\]', at) or error('a string without an end')
		table.insert(parts, s:sub(at, stop - 1))
		if s:sub(stop, stop) == '"' then
			return table.concat(parts), stop + 1
		end
		local c = s:sub(stop + 1, stop + 1)
		if c == 'u' then
			table.insert(parts, string.char(tonumber(s:sub(stop + 2, stop + 5), 16) % 128))
			at = stop + 6
		else
			table.insert(parts, ESCAPES[c] or c)
			at = stop + 2
		end
	end
end

-- The items between a bracket and its like; each is read by item.
local function items(s, at, close, item)
	at = space(s, at)
	if s:sub(at, at) == close then
		return at + 1
	end
	while true do
		at = space(s, item(at))
		local c = s:sub(at, at)
		if c == close then
			return at + 1
		end
		assert(c == ',', 'no comma')
		at = space(s, at + 1)
	end
end

function value(s, at)
	at = space(s, at)
	local c = s:sub(at, at)
	local t = {}
	if c == '{' then
		local stop = items(s, at + 1, '}', function(from)
			assert(s:sub(from, from) == '"', 'no name')
			local name, after = text(s, from + 1)
			after = space(s, after)
			assert(s:sub(after, after) == ':', 'no colon')
			t[name], after = value(s, after + 1)
			return after
		end)
		return t, stop
	elseif c == '[' then
		local n = 0
		local stop = items(s, at + 1, ']', function(from)
			local after
			n = n + 1
			t[n], after = value(s, from)
			return after
		end)
		return t, stop
	elseif c == '"' then
		return text(s, at + 1)
	end
	local word = s:match('^[%w.+-]+', at) or error('no value')
	local known = { ['true'] = true, ['false'] = false }
	if word == 'null' then
		return nil, at + 4
	elseif known[word] ~= nil then
		return known[word], at + #word
	end
	return assert(tonumber(word), 'no value'), at + #word
end

function M.parse(s)
	local ok, v, stop = pcall(value, s, 1)
	if not ok or space(s, stop) <= #s then
		return nil, 'no JSON'
	end
	return v
end

return M
