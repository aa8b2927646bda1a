-- The mesh-VPN provider "parker", for Gluon's core; the name is the original's. Its MTU is of no device, as the signed
-- configuration has that of the tunnels, but Gluon's core asks for one.

local site = require 'gluon.site'
local wguplink = require 'gluon.mesh-vpn.wguplink'

return wguplink.provider(site.mesh_vpn.parker)
