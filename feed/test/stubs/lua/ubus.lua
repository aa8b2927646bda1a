-- The part of OpenWrt's module ubus for Lua that our collector uses, over a real socket: UBUS_TOOL is testbed/cmd/ubus.
local M = {}

function M.connect(_, timeout)
	local socket, tool = os.getenv 'UBUS_SOCKET', os.getenv 'UBUS_TOOL'
	if os.execute('test -S ' .. socket) ~= 0 then
		return nil, 'Failed to connect to ubus'
	end
	return {
		call = function(_, object, method, arguments)
			assert(timeout == 2 and next(arguments) == nil)
			local answer = io.popen(string.format('%s -call %s %s %s 2>&1', tool, socket, object, method)):read '*a'
			local value = loadstring(answer)
			return value and value()
		end,
		close = function() end,
	}
end

return M
