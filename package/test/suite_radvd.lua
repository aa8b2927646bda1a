-- What wguplink-parker-radvd starts: no more than the uradvd of the image knows (recorded in uradvd/), and the router's
-- lifetime always, since uradvd announces no router without it.

local lib = require 'lib'

local INIT = '/etc/init.d/wguplink-parker-radvd'
local START = '/usr/sbin/uradvd -i br-client -p 2001:db8:1::/64'
local root = lib.root({})
lib.check('it is there', root.file(INIT))
assert(lib.sh('mkdir -p ' .. root.path .. '/usr/sbin'))

-- Returns the command, and what was logged.
local function start(version, files)
	root.put('/run/help', lib.read('package/test/uradvd/' .. version))
	root.put('/usr/sbin/uradvd', '#!/bin/sh\n[ "$*" != -h ] || cat /run/help >&2\n')
	assert(lib.sh('chmod 755 ' .. root.path .. '/usr/sbin/uradvd; rm -f ' .. root.path .. '/tmp/*'))
	for name, text in pairs(files) do
		root.put('/tmp/' .. name, text)
	end
	local ok, out, err = root.run([[
		logger() { echo "logged $*"; }
		command= limit= instances=0
		procd_open_instance() { instances=$((instances + 1)); }
		procd_close_instance() { :; }
		procd_set_param() { case $1 in command) shift; command=$*;; respawn) [ "$4" = 0 ] && limit=ever;; esac; }
		procd_append_param() { [ "$1" = command ] && shift && command="$command $*"; }
		. ]] .. INIT .. [[

		start_service
		echo "$instances:$limit:$command"
	]])
	lib.check(version .. ': no error', ok and err == '', err)
	return out
end

local UP = { range6 = '2001:db8:1::/64', addr6 = '2001:db8:1::1', adv_mtu = '1340', pref64 = '64:ff9b::/96' }
local BASE = START .. ' --default-lifetime 1800 --rdnss 2001:db8:1::1'
for version, more in pairs({
	['2021-09-14'] = '', ['2025-08-16'] = '', ['2025-09-20'] = '',
	pref64 = ' --pref64 64:ff9b::/96', ['adv-link-mtu'] = ' --adv-link-mtu 1340',
}) do
	lib.equal(version .. ': with a tunnel', start(version, UP), '1:ever:' .. BASE .. more .. '\n')
	-- Taken back: no router, and a prefix that is not used any more, as far as this version can say so.
	local back = version ~= '2021-09-14' and ' --preferred-lifetime 0 --valid-lifetime 0' or ''
	lib.equal(version .. ': without one', start(version, { ['wguplink-parker.gone6'] = '2001:db8:1::/64' }),
		'1:ever:' .. START .. back .. '\n')
end
lib.equal('a tunnel again', start('pref64', { range6 = UP.range6, ['wguplink-parker.gone6'] = '2001:db8:9::/64' }),
	'1:ever:' .. START .. ' --default-lifetime 1800\n')
lib.equal('nothing to announce', start('pref64', {}), '0::\n')
local out = start('pref64', { range6 = '2001:db8:1::/56' })
lib.contains('a range of another length: it says so', out, 'logged -t wguplink-parker range6 is 2001:db8:1::/56')
lib.contains('a range of another length: no endless restarts', out, '0::\n')

-- An update that is not made after all: Gluon starts its own service again, and it rests while there is a tunnel.
local ABORT = '/usr/lib/autoupdater/abort.d/85wguplink-parker'
for range6, want in pairs({ ['2001:db8:1::/64'] = 'gluon-radvd stop\n', [''] = '' }) do
	root.put('/tmp/range6', range6)
	root.put('/run/calls', '')
	local ok, text, err = root.run(ABORT)
	lib.check('abort: no error', ok and text .. err == '', text .. err)
	lib.equal('abort, range6 ' .. range6, root.file('/run/calls'), want)
end
