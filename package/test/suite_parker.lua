-- Parker's upgrade scripts.

local lib = require 'lib'

local A = 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='
local EXAMPLE = lib.read('site-example/site.conf')
local site = require 'parkersite'
local SITE, DOMAIN = site.PARKER, site.PARKER_DOMAIN

local NODE = {
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
	network = "\nconfig interface 'wan'\n\toption proto 'dhcp'\n\nconfig interface 'client'\n\toption proto 'static'\n" ..
		"\nconfig interface 'gluon_bat0'\n\toption proto 'gluon_bat0'\n",
	firewall = "\nconfig defaults\n\toption input 'REJECT'\n\nconfig zone\n\toption name 'lan'\n\nconfig zone\n" ..
		"\toption name 'wan'\n\toption input 'REJECT'\n\nconfig zone 'loc_client'\n\toption name 'loc_client'\n" ..
		"\nconfig rule 'mesh_respondd_siteprefix'\n\toption src 'mesh'\n\nconfig rule 'mesh_respondd_extraprefix0'\n" ..
		"\toption src 'mesh'\n\nconfig rule 'other'\n\toption src 'mesh'\n",
	dhcp = "\nconfig dhcp 'client'\n\toption interface 'client'\n\tlist dhcp_option 'option:ntp-server,old'\n" ..
		"\tlist dhcp_option 'option:router,10.0.0.1'\n",
}

local function upgrade(name, root)
	local ok, out, err = root.upgrade()
	lib.check(name .. ': upgrade', ok and err == '', out .. err)
	local good, problems, more = root.run('wguplink config check')
	lib.check(name .. ': config check', good, problems .. more)
end

local root = lib.root(NODE, SITE, DOMAIN)
upgrade('parker', root)
local files = { 'wguplink', 'network', 'firewall', 'dhcp' }
local before = ''
for _, package in ipairs(files) do
	lib.golden('parker.' .. package, root.file('/etc/config/' .. package))
	before = before .. root.file('/etc/config/' .. package)
end
upgrade('parker again', root)
local after = ''
for _, package in ipairs(files) do
	after = after .. root.file('/etc/config/' .. package)
end
lib.equal('parker: a second run changes nothing', after, before)

-- A running node of the original's: the key is in its file, and nothing is put beside it.
root = lib.root(NODE, SITE, DOMAIN)
assert(root.run('mkdir -p /etc/parker && echo ' .. A .. ' >/etc/parker/wg-privkey'))
upgrade('from the original', root)
lib.equal('from the original: the key', root.file('/etc/parker/wg-privkey'), A .. '\n')
lib.equal('from the original: no second one', select(2, root.run('uci -q get wguplink.mesh.private_key')), '')
lib.equal('keep.d', root.file('/lib/upgrade/keep.d/gluon-mesh-vpn-parker-wguplink'), '/etc/parker/\n')

-- To another domain without Parker: what is Parker's goes, the rest stays, and its key is taken along.
root.put('/lib/gluon/site.conf', EXAMPLE)
root.put('/lib/gluon/domains/ffxx_city.conf', lib.read('site-example/domains/ffxx_city.conf'))
upgrade('to wgkex', root)
local firewall = root.file('/etc/config/firewall')
lib.check('to wgkex: no rules of Parker\'s', not firewall:find('parker'), firewall)
lib.contains('to wgkex: other rules stay', firewall, "config rule 'other'")
lib.check('to wgkex: no NTP option', not root.file('/etc/config/dhcp'):find('ntp%-server'))
lib.equal('to wgkex: the key', select(2, root.run('uci get wguplink.mesh.private_key')), A .. '\n')

-- And back: the key goes from UCI to the file by the agent.
root.put('/lib/gluon/site.conf', SITE)
root.put('/lib/gluon/domains/ffxx_city.conf', DOMAIN)
upgrade('back to parker', root)
lib.contains('back to parker: the agent finds the key', select(2, root.run('uci get wguplink.mesh.key_import')),
	'wguplink.mesh.private_key')

-- What `status` shows, under dash and under busybox, also where things are missing.
for _, shell in ipairs({ 'dash', 'busybox' }) do
	root = lib.root(NODE, SITE, DOMAIN)
	assert(lib.sh('cd ' .. root.path .. ' && ln -sf ' .. shell .. ' bin/sh && mkdir -p tmp/sysinfo'))
	upgrade('status', root)
	root.put('/tmp/sysinfo/model', 'TP-Link Archer C7 v2\n')
	root.put('/lib/gluon/release', '1.2-parker\n')
	root.put('/tmp/dhcp.leases', '4102444800 02:00:00:00:00:01 10.1.64.7 laptop 01:02\n')
	local _, out, err = root.run('status')
	for _, want in ipairs({
		'gluon model:          TP-Link Archer C7 v2\n', 'gluon release:        1.2-parker\n',
		'autoupdater:          disabled',
		'uplink status:        not there\n', 'batman neighbours:    0\n', 'vpn status:',
		'10.1.64.7', 's left\n', 'mesh: stopped\n',
	}) do
		lib.contains(shell .. ': status', out, want)
	end
	lib.equal(shell .. ': status complains of nothing', err, '')
end
