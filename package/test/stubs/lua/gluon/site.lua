-- Stand-in for Gluon's gluon.site: the site's tables behind the same interface. On a node they come from JSON files
-- that Gluon's build has made of site.conf and domains/*.conf; here those are read themselves.

local merge = require('merge').node

local function load_conf(path)
	local f = io.open(path)
	if not f then
		return nil
	end
	local text = f:read('*a')
	f:close()
	return assert(loadstring('return ' .. text, path))()
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
