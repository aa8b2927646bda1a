-- luacheck and shellcheck, and what is easily forgotten: modes, first lines, words that a feed's scan looks for.

local lib = require 'lib'

local function lines(command)
	local ok, out, err = lib.sh(command)
	lib.check(command, ok, err)
	local t = {}
	for line in out:gmatch('[^\n]+') do
		table.insert(t, line)
	end
	return t
end

local lua, sh = {}, {}
for _, path in ipairs(lines('find package features site-example/image-customization.lua -type f | sort')) do
	local first = lib.read(path):match('^[^\n]*') or ''
	if first:match('^#!.*lua') or path:match('%.lua$') or path == 'features' then
		table.insert(lua, path)
	elseif first:match('^#!.*/sh$') then
		table.insert(sh, path)
	end
end
lib.check('there are scripts', #lua > 15 and #sh > 8, #lua .. ' ' .. #sh)

local ok, out = lib.sh('luacheck --config package/test/luacheckrc -q --no-color ' .. table.concat(lua, ' '))
lib.check('luacheck', ok, out)
ok, out = lib.sh('shellcheck -x ' .. table.concat(sh, ' '))
lib.check('shellcheck', ok, out)

-- What runs on a node has the right to; what is only read has not.
for _, path in ipairs(lines('find package/gluon-* -type f -path "*/files/*" -o -type f -path "*/luasrc/*" | sort')) do
	local script = (lib.read(path):match('^#!') ~= nil)
	lib.equal('mode of ' .. path, lib.sh('test -x ' .. path), script)
end

-- No script may wait by the clock.
for _, path in ipairs(sh) do
	lib.check(path .. ' does not sleep', not lib.read(path):find('%f[%w]sleep %d'))
end

-- The root Makefile would make the whole repository a package.
local makefile = lib.read('Makefile')
lib.check('the root Makefile is no package', not makefile:find('BuildPackage') and not makefile:find('KernelPackage'))
