-- main TMP [SUITE...]: runs the suites, all by default. See package/test/run.

package.path = 'package/test/?.lua;' .. package.path
local lib = require 'lib'
lib.tmp = arg[1]

local suites = { 'lint', 'make', 'rules', 'site', 'mistakes', 'upgrade', 'migrate', 'parker', 'roundtrip',
	'provider', 'hook', 'radvd', 'address', 'respondd', 'web', 'net' }
if arg[2] then
	suites = { unpack(arg, 2) }
end
for _, name in ipairs(suites) do
	local before = lib.passed + lib.failed
	local ok, err = pcall(require, 'suite_' .. name)
	lib.check('suite ' .. name, ok, err)
	-- A suite that checks nothing is a mistake.
	lib.check('suite ' .. name .. ' has checks', lib.passed + lib.failed > before + 1)
end
print(string.format('%d passed, %d failed', lib.passed, lib.failed))
os.exit(lib.failed == 0 and 0 or 1)
