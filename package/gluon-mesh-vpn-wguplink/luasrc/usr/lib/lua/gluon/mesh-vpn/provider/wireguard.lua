-- The mesh-VPN provider "wireguard", for Gluon's core. Upstream's and Munich's packages have one of this name, too: the
-- packages exclude each other. Its MTU is that of the device mesh-vpn.

local site = require 'gluon.site'
local wguplink = require 'gluon.mesh-vpn.wguplink'

return wguplink.provider(site.mesh_vpn.wireguard)
