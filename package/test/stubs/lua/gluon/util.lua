-- Stand-in for the parts of Gluon's gluon.util that we use.

local M = {}

function M.trim(text)
	return (text:gsub('^%s*(.-)%s*$', '%1'))
end

function M.exec(command)
	local f = assert(io.popen(command))
	local text = f:read('*a')
	f:close()
	return text
end

function M.readfile(path)
	local f = io.open(path)
	if not f then
		return nil
	end
	local text = f:read('*a')
	f:close()
	return text
end

return M
