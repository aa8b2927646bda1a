-- What Gluon's and OpenWrt's builds see: Makefiles, features, the example's two forms.

local lib = require 'lib'

-- Makefiles, with reduced rules.mk, package.mk and gluon.mk that print what they are given.
local top = lib.tmp .. '/openwrt'
assert(lib.sh('mkdir -p ' .. top .. '/include ' .. lib.tmp .. '/package'))
lib.write(top .. '/rules.mk', 'INCLUDE_DIR:=$(TOPDIR)/include\n')
local PRINT = [[
define BuildX
$(Package/$(1))
all:
	@echo "builder $(2)"
	@echo "name $$(PKG_NAME) $$(PKG_VERSION) $$(PKG_LICENSE)"
	@echo "maintainer $$(PKG_MAINTAINER)"
	@echo "title $$(TITLE)"
	@echo "depends $$(DEPENDS)"
	@echo "conflicts $$(CONFLICTS)"
	@echo "provides $$(PROVIDES)"
endef
BuildPackage=$(call BuildX,$(1),OpenWrt)
]]
lib.write(top .. '/include/package.mk', PRINT)
local function evaluate(name)
	local ok, out, err = lib.sh('make -s -C package/' .. name .. ' TOPDIR=' .. top)
	lib.check(name .. ': make', ok, err)
	return out
end
local packages = { 'gluon-mesh-vpn-wguplink', 'gluon-mesh-vpn-parker-wguplink', 'gluon-web-mesh-vpn-wguplink' }
for _, name in ipairs(packages) do
	lib.contains(name .. ': cannot be chosen in plain OpenWrt', evaluate(name), 'depends @BROKEN\n')
end
lib.write(lib.tmp .. '/package/gluon.mk',
	'include $(INCLUDE_DIR)/package.mk\nBuildPackageGluon=$(call BuildX,$(1),Gluon)\n')
for _, name in ipairs(packages) do
	-- The version is that of the program's package, and changes with each commit.
	local out = evaluate(name)
	local _, version = lib.sh('scripts/version --package')
	lib.contains(name .. ': has the version of the feed', out, 'name ' .. name .. ' ' .. version:match('^%S+') .. ' ')
	lib.golden(name .. '.make', (out:gsub('^(.-\nname %S+ )%S+', '%1VERSION')))
end

-- What is installed, and with what mode.
local dest = lib.tmp .. '/image'
for _, name in ipairs(packages) do
	local ok, _, err = lib.sh('package/test/install ' .. dest .. '/' .. name .. ' ' .. name)
	lib.check(name .. ': install', ok, err)
	local _, list = lib.sh('cd ' .. dest .. '/' .. name .. ' && find . -type f -printf "%m %P\n" | sort -k 2')
	lib.golden(name .. '.files', list)
end
lib.check('an unknown package is refused', not lib.sh('package/test/install ' .. dest .. ' gluon-nothing'))

-- features, by the rules of Gluon's feature library of now and of v2022.1.
local function select_packages(features, now)
	local have, packages_of, own = {}, {}, {}
	for _, f in ipairs(features) do
		have[f] = true
	end
	local env = { ['_'] = function(f) return have[f] and f or nil end }
	local function add(list)
		for _, p in ipairs(list) do
			packages_of[p] = true
		end
	end
	if now then
		function env.feature(name, list)
			own[name] = list
		end
		function env.when(wanted, list)
			if wanted then
				add(list)
			end
		end
	else
		function env.feature(match, options)
			if match then
				add(options.packages or {})
			end
		end
	end
	setfenv(assert(loadfile('features')), env)()
	for _, f in ipairs(features) do
		add(own[f] or { 'gluon-' .. f })
	end
	return packages_of
end
for _, now in ipairs({ true, false }) do
	for _, f in ipairs({ 'mesh-vpn-wguplink', 'mesh-vpn-parker-wguplink' }) do
		local p = select_packages({ f, 'web-wizard' }, now)
		lib.check('feature ' .. f, p['gluon-' .. f])
		lib.check('feature ' .. f .. ' with the wizard', p['gluon-config-mode-mesh-vpn'])
		lib.check('feature ' .. f .. ' without', not select_packages({ f }, now)['gluon-config-mode-mesh-vpn'])
	end
	local page = 'gluon-web-mesh-vpn-wguplink'
	lib.check('the advanced page', select_packages({ 'mesh-vpn-wguplink', 'web-advanced' }, now)[page])
	lib.check('the advanced page without us', not select_packages({ 'web-advanced' }, now)[page])
	lib.check('us without the advanced page', not select_packages({ 'mesh-vpn-wguplink' }, now)[page])
	lib.check('the wizard without us', not select_packages({ 'web-wizard' }, now)['gluon-config-mode-mesh-vpn'])
end

-- Both forms of the example choose the same features.
local function customization(class)
	local features = {}
	local env = {
		packages = function() end,
		features = function(list)
			for _, f in ipairs(list) do
				table.insert(features, f)
			end
		end,
		device_class = function(c) return c == class end,
	}
	setfenv(assert(loadfile('site-example/image-customization.lua')), env)()
	table.sort(features)
	return table.concat(features, ' ')
end
local function site_mk(path, class)
	lib.write(lib.tmp .. '/print.mk', 'include ' .. path ..
		'\nall:\n\t@echo $(sort $(GLUON_FEATURES) $(GLUON_FEATURES_' .. class .. '))\n')
	return (select(2, lib.sh('make -s -f ' .. lib.tmp .. '/print.mk')):gsub('\n', ''))
end
for _, class in ipairs({ 'standard', 'tiny' }) do
	lib.equal('features for ' .. class, site_mk('site-example/v2023.1/site.mk', class), customization(class))
	lib.contains('our feature for ' .. class, customization(class), 'mesh-vpn-wguplink')
end
lib.equal('site.mk of now has no features: they are an error there', site_mk('site-example/site.mk', 'standard'), '')
local modules = lib.read('site-example/modules')
local feed = modules:match("GLUON_SITE_FEEDS='([^']*)'")
lib.check('the feed has a name that a shell can assign to', feed and feed:match('^%l[%l%d_]*$'), feed)
for _, what in ipairs({ 'REPO', 'COMMIT', 'BRANCH' }) do
	lib.contains('modules: ' .. what, modules, 'PACKAGES_' .. tostring(feed):upper() .. '_' .. what .. '=')
end

-- The example mentions every key that the check knows, and the other way round.
local known = {}
local checks = lib.read('package/gluon-mesh-vpn-wguplink/check_site.lua') ..
	lib.read('package/gluon-mesh-vpn-parker-wguplink/check_site.lua')
for key in checks:gmatch("[({ \t]'([%l_0-9]+)'%)?[,} ]") do
	known[key] = true
end
local example = lib.read('site-example/site.conf') .. lib.read('site-example/domains/ffxx_city.conf')
for _, key in ipairs({
	'address_family', 'allowed_ips', 'backend', 'batman_hop_penalty', 'batman_throughput', 'broker', 'broker_ca',
	'broker_pin',
	'broker_timeout', 'client_ntp_servers4',
	'config_pubkey', 'config_server', 'dns', 'domain', 'domain_seed', 'endpoint', 'fleet', 'iface', 'keepalive',
	'link_address', 'link_local', 'link_prefix', 'loadbalancing', 'location', 'mtu', 'node_name', 'ntp_grace',
	'ntp_servers',
	'omada_controllers4', 'peers', 'protocol', 'public_key', 'publickey', 'rebalance',
	'unifi_controller4', 'vxlan_checksum', 'vxlan_id', 'vxlan_port', 'vxlan_seed_key',
}) do
	lib.check('the check knows ' .. key, known[key] or (key == 'public_key' or key == 'publickey'))
	lib.check('the example has ' .. key, example:find('%f[%w_]' .. key .. '%f[^%w_]'))
	lib.check('docs/gluon.md has ' .. key, (lib.read('docs/gluon.md') or ''):find('`' .. key .. '`', 1, true))
end
