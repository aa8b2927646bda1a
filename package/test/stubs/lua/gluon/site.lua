-- Stand-in for Gluon's gluon.site: the site's tables behind the same interface. On a node they come from JSON files that
-- Gluon's build has made of site.conf and domains/*.conf; here those are read themselves.

local function load_conf(path)
	local f = io.open(path)
	if not f then
		return nil
	end
	local text = f:read('*a')
	f:close()
	return assert(loadstring('return ' .. text, path))()
end

local function is_object(t)
	return type(t) == 'table' and (next(t) == nil or #t == 0)
end

-- Objects are merged, all else is replaced.
local function merge(a, b)
	if b == nil then
		return a
	elseif not is_object(a) or not is_object(b) then
		return b
	end
	local t = {}
	for k, v in pairs(a) do
		t[k] = v
	end
	for k, v in pairs(b) do
		t[k] = merge(t[k], v)
	end
	return t
end

local wrap
local meta = {
	__index = function(t, k)
		local value = rawget(t, 1)
		if type(value) == 'table' then
			value = value[k]
		else
			value = nil
		end
		return wrap(value)
	end,
	__newindex = function()
		error('the site cannot be changed')
	end,
	__call = function(t, default)
		local value = rawget(t, 1)
		if value == nil then
			return default
		end
		return value
	end,
}

function wrap(value)
	return setmetatable({ value }, meta)
end

local uci = require('simple-uci').cursor()
local domain = uci:get('gluon', 'core', 'domain')
local site = load_conf('/lib/gluon/site.conf')
return wrap(merge(site, domain and load_conf('/lib/gluon/domains/' .. domain .. '.conf') or nil))
