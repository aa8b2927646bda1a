-- The mesh-VPN provider "wireguard", for Gluon's core. Upstream's and Munich's packages have one of this name, too: the
-- packages exclude each other.

local site = require 'gluon.site'
local wguplink = require 'gluon.mesh-vpn.wguplink'

local M = {
	enable = wguplink.enable,
	public_key = wguplink.public_key,
	set_limit = wguplink.set_limit,
}

function M.active()
	return site.mesh_vpn.wireguard() ~= nil
end

-- bytes, of the device mesh-vpn
function M.mtu()
	return site.mesh_vpn.wireguard.mtu()
end

-- WireGuard shows its key to nobody but the gateway.
function M.pubkey_privacy()
	return false
end

return M
