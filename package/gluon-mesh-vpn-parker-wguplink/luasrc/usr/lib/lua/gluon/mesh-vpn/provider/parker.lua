-- The mesh-VPN provider "parker", for Gluon's core; the name is that of the original's.

local site = require 'gluon.site'
local wguplink = require 'gluon.mesh-vpn.wguplink'

local M = {
	enable = wguplink.enable,
	public_key = wguplink.public_key,
	set_limit = wguplink.set_limit,
}

function M.active()
	return site.mesh_vpn.parker() ~= nil
end

-- bytes; of no device, as the signed configuration has the tunnels' MTU, but Gluon's core asks
function M.mtu()
	return site.mesh_vpn.parker.mtu()
end

-- WireGuard shows its key to nobody but the gateway.
function M.pubkey_privacy()
	return false
end

return M
