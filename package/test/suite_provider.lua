-- The providers, as Gluon's core calls them.

local lib = require 'lib'

local KEY = 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='
local NODE = {
	gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
	wguplink = "\nconfig uplink 'mesh'\n\toption vxlan_id '1'\n\toption private_key '" .. KEY .. "'\n" ..
		"\nconfig gateway 'gw1'\n\toption public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='\n" ..
		"\toption endpoint 'gw1.example.org:1'\n\toption link_address 'fe80::1'\n",
	['simple-tc'] = "\nconfig interface 'mesh_vpn'\n\toption enabled '1'\n",
}
local root = lib.root(NODE)
local before = root.file('/etc/config/wguplink')

local function lua(code)
	local ok, out, err = root.run("lua -e 'local p = require(\"gluon.mesh-vpn.provider.wireguard\") " .. code .. "'")
	lib.check(code, ok, err)
	return (out:gsub('\n$', ''))
end
local function get(option)
	return (select(2, root.run('uci -q get wguplink.mesh.' .. option)):gsub('\n$', ''))
end

lib.equal('active', lua('print(p.active())'), 'true')
lib.equal('mtu', lua('print(p.mtu())'), '1330')
lib.equal('pubkey_privacy', lua('print(p.pubkey_privacy())'), 'false')
lib.equal('parker is not active', select(2, root.run(
	"lua -e 'print(require(\"gluon.mesh-vpn.provider.parker\").active())'")), 'false\n')

local _, public = root.run('wguplink key show mesh')
lib.equal('public_key', lua('print(p.public_key())') .. '\n', public)

lua('p.enable(false)')
lib.equal('enable(false)', get('enabled'), '0')
lua('p.enable(true)')
lib.equal('enable(true)', get('enabled'), '1')

lua('p.set_limit("20000", 5000)')
lib.equal('ingress', get('limit_ingress'), '20000')
lib.equal('egress', get('limit_egress'), '5000')
lib.equal('simple-tc does not shape a second time', select(2, root.run('uci -q get simple-tc.mesh_vpn')), '')
lib.equal('changes are staged, as Gluon commits at the end', root.file('/etc/config/wguplink'), before)
-- The wizard's Mbit/s, times 1000.
lua('p.set_limit("1234.5", 0.3)')
lib.equal('whole numbers', get('limit_ingress') .. '/' .. get('limit_egress'), '1235/')
-- More than the agent can shape, as a slip in the wizard gives it, does not stop the node.
lua('p.set_limit("12000000", 1e12)')
lib.equal('too large is the largest', get('limit_ingress') .. '/' .. get('limit_egress'), '12000000/34359738')
do
	local good, out2, err2 = root.run('uci commit wguplink && wguplink config check')
	lib.check('config check with the largest', good, out2 .. err2)
	root.put('/etc/config/wguplink', before)
end
lua('p.set_limit("-", "")')
lib.equal('no number is no limit', get('limit_ingress') .. get('limit_egress'), '')
lua('p.set_limit(nil, nil)')
local ok, out, err = root.run('uci commit wguplink && wguplink config check')
lib.check('config check', ok, out .. err)

-- The program is started once for the key, and again when the configuration, or the file with the key, is another.
do
	local box = lib.root(NODE)
	local starts = box.count_starts()
	local function ask()
		local good, said, why = box.run('lua -e \'print(require("gluon.mesh-vpn.provider.wireguard").public_key())\'')
		lib.check('public_key', good, why)
		return said
	end
	for _ = 1, 3 do
		lib.equal('the same key', ask(), public)
	end
	lib.equal('starts for one key', starts(), 1)
	box.run('uci set wguplink.mesh.private_key=aOBqBSKMYbcPVcLNiJWUGhdXXGPDBHOb4RiCbVmlFHI=')
	local other = ask()
	lib.check('a key that is staged', other ~= public and #other == 45, other)
	lib.equal('starts for another key', starts(), 2)
	box.run('uci commit wguplink')
	lib.equal('the key that is committed', ask(), other)
	local count = starts()
	box.put('/run/key', KEY .. '\n')
	box.run('chmod 600 /run/key; uci delete wguplink.mesh.private_key; uci set wguplink.mesh.key_file=/run/key; ' ..
		'uci commit wguplink')
	lib.equal('the key of a file', ask(), public)
	box.put('/run/key', 'aOBqBSKMYbcPVcLNiJWUGhdXXGPDBHOb4RiCbVmlFHI=\n')
	box.run('chmod 600 /run/key')
	lib.equal('another key in that file', ask(), other)
	lib.equal('that key again', ask(), other)
	lib.equal('starts for the file', starts(), count + 2)
	-- What lies there and is none of it.
	for _, text in ipairs { '', 'x', 'abc def\n', ('a'):rep(32) .. ' ' .. KEY .. '\n' } do
		box.put('/var/run/wguplink.public-key', text)
		lib.equal('what is known is ' .. text, ask(), other)
	end
end

-- No key yet, no agent, no section: no value, no error.
root = lib.root({ gluon = NODE.gluon, wguplink = '' })
lib.equal('no key', lua('print(p.public_key())'), 'nil')
lua('p.enable(true) p.set_limit(1, 2)')
lib.equal('no section is made', root.file('/etc/config/wguplink'), '')
lib.equal('nothing staged', select(2, root.run('uci changes')), '')

-- The small scripts around it.
root = lib.root(NODE)
for _, case in ipairs({
	{ '/lib/gluon/reload.d/305-wguplink-stop', 'wguplink stop\n' },
	{ '/lib/gluon/reload.d/795-wguplink-start', 'wguplink enabled\nwguplink start\n' },
	{ '/usr/lib/autoupdater/upgrade.d/50wguplink', 'wguplink stop\n' },
	{ '/usr/lib/autoupdater/abort.d/50wguplink', 'wguplink enabled\nwguplink start\n' },
}) do
	root.put('/run/calls', '')
	lib.check(case[1], root.run(case[1]))
	lib.equal(case[1], root.file('/run/calls'), case[2])
end
root.put('/run/calls', '')
root.put('/run/disabled', '')
lib.check('start when disabled', root.run('/lib/gluon/reload.d/795-wguplink-start'))
lib.equal('a disabled service is not started', root.file('/run/calls'), 'wguplink enabled\n')
