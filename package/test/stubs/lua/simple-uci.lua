-- Stand-in for Gluon's simple-uci on top of the command uci. As with libuci, a cursor reads a package when it first
-- needs it, sees its own changes from then on, and others see them once they are saved. Setting an option of a section
-- that is not there, or in a package that is not there, fails.

local Cursor = {}
Cursor.__index = Cursor

local function sh(word)
	return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function output(command)
	local f = assert(io.popen(command .. ' 2>/dev/null'))
	local text = f:read('*a')
	f:close()
	return text
end

local function uci(...)
	local words = {}
	for i, word in ipairs({...}) do
		words[i] = sh(word)
	end
	return os.execute('uci -q ' .. table.concat(words, ' ')) == 0
end

-- Cuts the first word in quotes off a text that uci has written.
local function word(text)
	local value, rest = '', text
	repeat
		local part, after = rest:match("^'([^']*)'(.*)$")
		value, rest = value .. part, after
		local escaped = rest:match("^\\'(.*)$")
		if escaped then
			value, rest = value .. "'", escaped
		end
	until not rest:match("^'")
	return value, rest
end

local function parse(config)
	local text = output('uci export ' .. sh(config))
	if text == '' then
		return nil
	end
	local names, sections, section = {}, {}, nil
	for name in output('uci -X show ' .. sh(config)):gmatch('([^\n]+)') do
		name = name:match('^[^.=]+%.([^.=]+)=')
		if name then
			table.insert(names, name)
		end
	end
	for line in text:gmatch('[^\n]+') do
		local stype, given = line:match("^config (%S+)%s*(.*)$")
		local kind, option, rest = line:match("^\t(%a+) (%S+) ('.*)$")
		if stype then
			section = {
				['.type'] = word(stype:match("^'") and stype or "'" .. stype .. "'"),
				['.name'] = table.remove(names, 1),
				['.anonymous'] = given == '',
			}
			table.insert(sections, section)
		elseif kind == 'option' then
			section[option] = word(rest)
		elseif kind == 'list' then
			section[option] = section[option] or {}
			table.insert(section[option], (word(rest)))
		end
	end
	return sections
end

function Cursor:load(config)
	if not self.packages[config] then
		self.packages[config] = parse(config)
		self.changes[config] = self.changes[config] or {}
	end
	return self.packages[config] ~= nil
end

local function find(self, config, name)
	if not config or not self:load(config) then
		return nil
	end
	for i, section in ipairs(self.packages[config]) do
		if section['.name'] == name then
			return section, i
		end
	end
end

local function copy(value)
	if type(value) ~= 'table' then
		return value
	end
	local t = {}
	for k, v in pairs(value) do
		t[k] = v
	end
	return t
end

local function note(self, config, ...)
	table.insert(self.changes[config], {...})
	return true
end

function Cursor:get(config, name, option)
	local section = find(self, config, name)
	if not section then
		return nil
	end
	return copy(section[option or '.type'])
end

function Cursor:get_all(config, name)
	return copy((find(self, config, name)))
end

function Cursor:get_bool(...)
	return self:get(...) == '1'
end

function Cursor:get_list(config, name, option)
	local value = self:get(config, name, option)
	return type(value) == 'table' and value or { value }
end

function Cursor:foreach(config, stype, callback)
	if not self:load(config) then
		return false
	end
	for _, section in ipairs({ unpack(self.packages[config]) }) do
		if (not stype or section['.type'] == stype) and callback(copy(section)) == false then
			break
		end
	end
	return true
end

function Cursor:get_first(config, stype, option, default)
	local found = default
	self:foreach(config, stype, function(s)
		local value = s[option or '.name']
		if value ~= nil then
			found = value
			return false
		end
	end)
	return found
end

function Cursor:delete(config, name, option)
	local section, i = find(self, config, name)
	if not section or (option and section[option] == nil) then
		return false
	end
	if option then
		section[option] = nil
		return note(self, config, 'delete', config .. '.' .. name .. '.' .. option)
	end
	table.remove(self.packages[config], i)
	return note(self, config, 'delete', config .. '.' .. name)
end

function Cursor:delete_all(config, stype, matches)
	local names = {}
	self:foreach(config, stype, function(s)
		if not matches or matches(s) then
			table.insert(names, s['.name'])
		end
	end)
	for _, name in ipairs(names) do
		self:delete(config, name)
	end
end

function Cursor:set(config, name, option, value)
	local section = find(self, config, name)
	if value == nil or (type(value) == 'table' and #value == 0) then
		self:delete(config, name, option)
		return true
	end
	if not section then
		return false
	end
	local place = config .. '.' .. name .. '.' .. option
	if type(value) == 'table' then
		if section[option] ~= nil then
			note(self, config, 'delete', place)
		end
		section[option] = {}
		for i, item in ipairs(value) do
			section[option][i] = tostring(item)
			note(self, config, 'add_list', place .. '=' .. tostring(item))
		end
		return true
	end
	if type(value) == 'boolean' then
		value = value and '1' or '0'
	end
	if value == '' then
		error('an empty value deletes: ' .. place)
	end
	section[option] = tostring(value)
	return note(self, config, 'set', place .. '=' .. tostring(value))
end

function Cursor:section(config, stype, name, values)
	if not self:load(config) then
		return false
	end
	assert(name and name:match('^[%w_]+$'), 'not a name of a section: ' .. tostring(name))
	local section = find(self, config, name)
	if not section then
		table.insert(self.packages[config], { ['.type'] = stype, ['.name'] = name, ['.anonymous'] = false })
	else
		section['.type'] = stype
	end
	note(self, config, 'set', config .. '.' .. name .. '=' .. stype)
	local options = {}
	for option in pairs(values or {}) do
		table.insert(options, option)
	end
	-- Lua has no order here, and no caller may depend on one; sorted, the recorded files are the same each time.
	table.sort(options)
	for _, option in ipairs(options) do
		self:set(config, name, option, values[option])
	end
	return name
end

function Cursor:save(config)
	for _, change in ipairs(self.changes[config] or {}) do
		if not uci(unpack(change)) then
			error('uci ' .. table.concat(change, ' ') .. ' failed')
		end
	end
	self.changes[config] = {}
	return true
end

function Cursor:commit(config)
	self:save(config)
	return uci('commit', config)
end

return {
	cursor = function()
		return setmetatable({ packages = {}, changes = {} }, Cursor)
	end,
}
