-- Stand-in for the part of gluon.web.util that we use.

local M = {}

local ENTITIES = { ['&'] = '&#38;', ['<'] = '&#60;', ['>'] = '&#62;', ['"'] = '&#34;', ["'"] = '&#39;' }

function M.pcdata(value)
	return value and (tostring(value):gsub('[&<>"\']', ENTITIES))
end

return M
