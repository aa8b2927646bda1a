-- What Gluon's core does between our scripts (500-mesh-vpn and update-config): it finds the active provider, makes the
-- switch of the first boot, and hands switch and limits to the provider.

local site = require 'gluon.site'
local uci = require('simple-uci').cursor()

local name, provider = require('gluon.mesh-vpn').get_active_provider()
assert(provider, 'no provider is active')
assert(io.open('/lib/gluon/mesh-vpn/provider/' .. name), 'the provider has no marker')

uci:section('network', 'interface', 'mesh_vpn', { ifname = 'mesh-vpn', proto = 'gluon_mesh', mtu = provider.mtu() })
uci:save('network')

if not uci:get('gluon', 'mesh_vpn') then
	uci:section('gluon', 'mesh_vpn', 'mesh_vpn', {
		enabled = site.mesh_vpn.enabled(false),
		limit_enabled = site.mesh_vpn.bandwidth_limit.enabled(false),
		limit_ingress = site.mesh_vpn.bandwidth_limit.ingress(),
		limit_egress = site.mesh_vpn.bandwidth_limit.egress(),
	})
	uci:save('gluon')
end

provider.enable(uci:get_bool('gluon', 'mesh_vpn', 'enabled'))
if uci:get_bool('gluon', 'mesh_vpn', 'limit_enabled') then
	provider.set_limit(uci:get('gluon', 'mesh_vpn', 'limit_ingress'), uci:get('gluon', 'mesh_vpn', 'limit_egress'))
else
	provider.set_limit(nil, nil)
end
