-- The page for the node's owner in setup mode.

local lib = require 'lib'

local PACKAGE = 'package/gluon-web-mesh-vpn-wguplink'
local MODEL = 'admin/mesh_vpn_wguplink'

-- root makes a node of Munich's kind, as it is after the first boot, whose site says that of load balancing.
local function node(loadbalancing, location)
	local says = "loadbalancing = '" .. loadbalancing .. "'"
	local site = lib.read('site-example/site.conf'):gsub("loadbalancing = '[^']*'", says)
	lib.check('the site has ' .. says, site:find(says, 1, true))
	if location then
		site = site:gsub("(loadbalancing = '[^']*',)", "%1\n\t\tlocation = '" .. location .. "',", 1)
	end
	local root = lib.root({ gluon = "\nconfig core 'core'\n\toption domain 'ffxx_city'\n",
		wireguard = "\nconfig wireguard 'mesh_vpn'\n",
		['gluon-setup-mode'] = "\nconfig setup_mode\n\toption enabled '1'\n" }, site)
	local ok, out, err = root.reconfigure()
	lib.check('upgrade', ok, out .. err)
	assert(lib.sh('mkdir -p ' .. root.path .. '/lib/gluon/web/i18n ' .. root.path .. '/etc/wguplink'))
	for _, lang in ipairs({ 'de', 'fr' }) do
		root.put('/lib/gluon/web/i18n/gluon-web-mesh-vpn-wguplink.' .. lang .. '.po',
			lib.read(PACKAGE .. '/i18n/' .. lang .. '.po'))
	end
	-- Which page, in which language, with which fields sent.
	function root.page(lang, fields)
		return root.run('lua /usr/lib/lua/webpage.lua ' .. MODEL .. ' ' .. lang .. ' ' .. (fields or ''))
	end
	function root.get(option)
		return (select(2, root.run('uci -q get ' .. option)):gsub('\n$', ''))
	end
	return root
end

local function shown(name, root, lang, parts, absent)
	local ok, out, err = root.page(lang)
	lib.check(name .. ': page', ok, out .. err)
	for _, part in ipairs(parts) do
		lib.contains(name, out, part)
	end
	for _, part in ipairs(absent or {}) do
		lib.check(name .. ': no ' .. part, not out:find(part, 1, true), out)
	end
	return out
end

local root = node('on-by-default')

-- Without a record, and with one, in each language.
shown('no record', root, 'en', { '# Mesh VPN', 'there is no record', 'Load balancing [loadbalancing]: true',
	'Preferred location [location]: ', 'button' }, { 'State' })
root.put('/etc/wguplink/last-status.json', [==[[ { "uplink": "other", "state": "connected" },
	{ "uplink": "mesh", "state": "connecting", "cause": "no_handshake",
	"reason": "no gateway answers; <script>alert(1)</script>",
	"gateway": { "name": "gw1 & Co" }, "seconds": 12, "warnings": [ "x" ] } ]]==])
shown('a record', root, 'en', { 'Before that it was so', '<b>State:</b> connecting', '<b>Gateway:</b> gw1 &#38; Co',
	'<b>Reason:</b> No gateway answers.', '&#60;script&#62;', 'Public key' }, { '<script' })
shown('German', root, 'de', { '# Mesh-VPN', '<b>Zustand:</b> baut die Verbindung auf', 'Kein Gateway antwortet.',
	'Lastverteilung', 'Bevorzugter Standort' })
shown('French', root, 'fr', { '# VPN maillé', '<b>État:</b> établit la connexion', 'Aucune passerelle ne répond.',
	'Répartition de charge', 'Emplacement préféré' })
-- A state of a later agent, and what is no record.
root.put('/etc/wguplink/last-status.json', '[ { "uplink": "mesh", "state": "dancing", "cause": "bored" } ]')
shown('unknown words', root, 'en', { '<b>State:</b> dancing', '<b>Reason:</b> bored' })
for _, text in ipairs({ '', '[', 'null', '[]', '{}', '[1,"a"]', '"x"' }) do
	root.put('/etc/wguplink/last-status.json', text)
	shown('record ' .. text, root, 'en', { 'there is no record' })
end

-- An agent that runs is asked on ubus. The program is not started for the page, but once for the key.
do
	local starts = root.count_starts()
	root.put('/run/agent', [[{"uplinks":{"mesh":{"uplink":"mesh","state":"connected","gateway":{"name":"gw2"}}}}]])
	local function page(name, part)
		local good, said, why = root.page('en')
		lib.check(name .. ': page', good, why)
		lib.contains(name, said, part)
	end
	page('an agent runs', '<b>Gateway:</b> gw2')
	for _, text in ipairs({ '', '[', 'null', '[]', '{"uplinks":7}', '{"uplinks":{"mesh":"x"}}' }) do
		root.put('/run/agent', text)
		page('ubus says ' .. text, 'there is no record')
	end
	lib.check('starts of the program for seven pages', starts() <= 1, root.file('/run/starts'))
	os.remove(root.path .. '/run/agent')
	assert(root.run('mv /usr/bin/wguplink.real /usr/bin/wguplink'))
end

-- What the owner chooses is in both places, holds after an update, and is what the agent takes.
lib.check('send', root.page('en', 'location=Vienna'))
lib.equal('location', root.get('wguplink.mesh.location'), 'Vienna')
lib.equal('load balancing off', root.get('wireguard.mesh_vpn.loadbalancing') ..
	root.get('wguplink.mesh.broker_choice'), '00')
lib.equal('all is committed', select(2, root.run('uci changes')), '')
lib.check('upgrade after the choice', root.reconfigure())
lib.equal('location stays', root.get('wguplink.mesh.location'), 'Vienna')
lib.equal('load balancing stays off', root.get('wguplink.mesh.broker_choice'), '0')
lib.check('config check', root.run('wguplink config check'))
shown('the choice', root, 'en', { 'Preferred location [location]: Vienna', 'Load balancing [loadbalancing]: false' })
lib.check('send again', root.page('en', 'location= loadbalancing=1'))
lib.equal('no location', root.get('wguplink.mesh.location'), '')
lib.equal('load balancing on', root.get('wireguard.mesh_vpn.loadbalancing') ..
	root.get('wguplink.mesh.broker_choice'), '1')
lib.check('upgrade again', root.reconfigure())
lib.equal('load balancing stays on', root.get('wguplink.mesh.broker_choice'), '')

-- What the agent would refuse is not stored, nor anything beside it.
local before = root.file('/etc/config/wguplink')
local ok, out = root.page('en', "'location=" .. ('x'):rep(65) .. "'")
lib.check('a location that is too long', not ok and out:find('INVALID location', 1, true), out)
ok, out = root.page('en', '"location=$(printf \'a\\tb\')"')
lib.check('a location with a tab', not ok, out)
lib.equal('nothing is stored', root.file('/etc/config/wguplink'), before)

-- The site's own location comes back when the owner has none.
root = node('off-by-default', 'Berlin')
shown('off by default', root, 'en', { 'Load balancing [loadbalancing]: false',
	'Preferred location [location]: Berlin' })
lib.check('another location', root.page('en', 'location=Vienna loadbalancing=1'))
lib.equal('location of the owner', root.get('wguplink.mesh.location'), 'Vienna')
lib.check('none', root.page('en', 'location= loadbalancing=1'))
lib.equal('location of the site', root.get('wguplink.mesh.location'), 'Berlin')

-- Where the site decides, the owner does not.
for _, choice in ipairs({ 'on', 'off' }) do
	shown('loadbalancing ' .. choice, node(choice), 'en', { 'Preferred location' }, { 'Load balancing' })
end

-- Without a broker there is nothing to choose.
root.run('uci set wguplink.mesh.protocol=static; uci commit wguplink')
shown('static gateways', root, 'en', { '# Mesh VPN', 'no button' }, { 'Preferred location', 'Load balancing' })

-- The record is made when the node is about to go into setup mode, and at no other time.
root.put('/lib/rc.sh', ". \"$1\"; $2\n")
root.put('/usr/bin/wguplink',
	"#!/bin/sh\n[ -e /run/mute ] || echo '[ { \"uplink\": \"mesh\", \"state\": \"connected\" } ]'\n")
assert(lib.sh('chmod 755 ' .. root.path .. '/usr/bin/wguplink; rm -f ' ..
	root.path .. '/etc/wguplink/last-status.json'))
local function rc(action)
	local good, out2, err = root.run('sh /lib/rc.sh /etc/init.d/wguplink-last-status ' .. action)
	lib.check('rc ' .. action, good, out2 .. err)
	return root.file('/etc/wguplink/last-status.json')
end
lib.contains('into setup mode', rc('shutdown') or '', 'connected')
lib.equal('mode of the record',
	(select(2, lib.sh('stat -c %a ' .. root.path .. '/etc/wguplink/last-status.json'))), '600\n')
lib.equal('a normal boot removes it', rc('boot'), nil)
root.put('/run/mute', '')
lib.equal('no status, no record', rc('shutdown'), nil)
os.remove(root.path .. '/run/mute')
root.put('/etc/config/gluon-setup-mode', "\nconfig setup_mode\n\toption enabled '0'\n")
lib.equal('a reboot', rc('shutdown'), nil)

-- Every text is translated, and the template is complete.
local source = lib.read(PACKAGE .. '/luasrc/lib/gluon/config-mode/model/' .. MODEL .. '.lua') ..
	lib.read(PACKAGE .. '/luasrc/lib/gluon/config-mode/controller/' .. MODEL .. '.lua')
local function catalogue(path)
	local t = {}
	for id, text in lib.read(path):gmatch('\nmsgid "([^\n]+)"\nmsgstr "([^\n]*)"') do
		t[id] = text
	end
	return t
end
local template = catalogue(PACKAGE .. '/i18n/gluon-web-mesh-vpn-wguplink.pot')
local count = 0
for _, pattern in ipairs({ "translate%('([^']*)'%)", '_%("([^"]*)"%)' }) do
	for text in source:gmatch(pattern) do
		count = count + 1
		lib.check('template has ' .. text, template[text])
		for _, lang in ipairs({ 'de', 'fr' }) do
			local translation = catalogue(PACKAGE .. '/i18n/' .. lang .. '.po')[text]
			lib.check(lang .. ' translates ' .. text, translation and translation ~= '')
		end
	end
end
lib.check('there are texts', count > 25)
for text in pairs(template) do
	lib.check('the page says ' .. text, source:find(text, 1, true))
end
