-- check_site.lua of our packages, run with the functions that Gluon gives it; and the example site as a table.

local lib = require 'lib'
local merge = dofile('package/test/stubs/lua/merge.lua').build
local M = {}
local package_loaded = package.loaded

local function conf(path)
	return assert(loadstring('return ' .. lib.read(path), path))()
end

-- The functions that Gluon gives a check_site.lua, as its documentation describes them. An error is one line.
local function environment(site)
	local env = setmetatable({}, { __index = _G })

	local function load(path)
		local value = site
		for i, key in ipairs(path) do
			if value == nil then
				return nil
			end
			if type(value) ~= 'table' then
				error(string.format('expected %s to be a table', table.concat(path, '.', 1, i - 1)), 0)
			end
			value = value[key]
		end
		return value
	end

	function env.extend(path, more)
		local t = { unpack(path) }
		for _, key in ipairs(more) do
			table.insert(t, key)
		end
		return t
	end

	function env.need(path, check, required, msg)
		local value = load(path)
		if value == nil and required == false then
			return nil
		end
		if not check(value) then
			error(string.format('site.conf error: expected %s to %s, but it is %s', table.concat(path, '.'), msg,
				value == nil and 'unset' or type(value) == 'string' and string.format('%q', value) or tostring(value)),
					0)
		end
		return value
	end

	local function of_type(name, article)
		return function(path, required)
			return env.need(path, function(v) return type(v) == name end, required, 'be ' .. article .. ' ' .. name)
		end
	end
	env.need_string = of_type('string', 'a')
	env.need_number = of_type('number', 'a')
	env.need_boolean = of_type('boolean', 'a')
	function env.need_table(path, sub, required)
		local value = of_type('table', 'a')(path, required)
		for key in pairs(sub and value or {}) do
			sub(env.extend(path, { key }))
		end
		return value
	end
	function env.need_string_array(path, required)
		local value = of_type('table', 'a')(path, required)
		for i in ipairs(value or {}) do
			env.need_string(env.extend(path, { i }))
		end
		return value
	end
	function env.need_one_of(path, allowed, required)
		return env.need(path, function(v)
			for _, a in ipairs(allowed) do
				if a == v then
					return true
				end
			end
			return false
		end, required, 'be one of ' .. table.concat(allowed, ', '))
	end
	function env.need_value(path, want, required)
		return env.need(path, function(v) return v == want end, required, 'be ' .. tostring(want))
	end
	function env.need_alphanumeric_key(path)
		local key = path[#path]
		if type(key) ~= 'string' or not key:match('^[%w_]+$') then
			error('expected ' .. table.concat(path, '.') .. ' to have a name of letters, digits and underscores', 0)
		end
	end
	function env.obsolete(path, msg)
		if load(path) ~= nil then
			error(table.concat(path, '.') .. ' is obsolete. ' .. msg, 0)
		end
	end
	return env
end

local function check(package, site)
	local f = assert(loadfile('package/' .. package .. '/check_site.lua'))
	return pcall(setfenv(f, environment(site)))
end

-- The same for a domain beside the site, as Gluon does it: both are JSON files, and the domain is this_domain.
local function check_domain(package, site, domain)
	local env = environment(merge(site, domain))
	function env.this_domain()
		return 'city'
	end
	package_loaded.jsonc = { load = function(path)
		return path:match('/lib/gluon/domains/city%.json$') and domain or nil
	end }
	local f = assert(loadfile('package/' .. package .. '/check_site.lua'))
	local ok, err = pcall(setfenv(f, env))
	package_loaded.jsonc = nil
	return ok, err
end

local function example()
	return merge(conf('site-example/site.conf'), conf('site-example/domains/ffxx_city.conf'))
end

M.check, M.check_domain, M.example = check, check_domain, example
return M
