-- site TMP SITE.CONF DOMAIN.CONF: runs the upgrade scripts on a new node, in the chroot TMP/root1. See
-- package/test/site.

package.path = 'package/test/?.lua;' .. package.path
local lib = require 'lib'
lib.tmp = arg[1]

-- As OpenWrt leaves it.
local root = lib.root({
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
	network = "\nconfig interface 'loopback'\n\toption proto 'static'\n",
	firewall = "\nconfig defaults\n\toption input 'REJECT'\n\nconfig zone\n\toption name 'wan'\n",
	dhcp = "\nconfig dnsmasq\n\toption domain 'lan'\n",
}, lib.read(arg[2]), lib.read(arg[3]))
local ok, out, err = root.reconfigure()
if not ok or err ~= '' then
	io.stderr:write(out, err, 'site: the upgrade scripts failed\n')
	os.exit(1)
end
local good, problems, more = root.run('wguplink config check')
if not good then
	io.stderr:write(problems, more, 'site: what they wrote is refused\n')
	os.exit(1)
end
