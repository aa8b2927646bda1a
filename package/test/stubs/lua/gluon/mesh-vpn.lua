-- Stand-in for the part of Gluon's gluon.mesh-vpn that we use: the first provider, by the name of its file, that is
-- active.

local M = {}

function M.get_active_provider()
	local names = io.popen('cd /lib/gluon/mesh-vpn/provider && ls')
	local found, provider
	for name in names:lines() do
		local candidate = require('gluon.mesh-vpn.provider.' .. name)
		if not found and candidate.active() then
			found, provider = name, candidate
		end
	end
	names:close()
	return found, provider
end

return M
