-- Shows a page of gluon-web's models as text, or sends it back: webpage.lua MODEL LANGUAGE [FIELD=VALUE...]
--
-- It stands in for gluon-web and its models as far as our page uses them (docs/dev/web/model.rst of Gluon): Form,
-- Section, Value and Flag with their title, description, default, optional, validate and write. With fields the page is
-- sent; a Flag that is not named is off, as in a browser.

local model, lang = arg[1], arg[2]
local sent
for i = 3, #arg do
	sent = sent or {}
	local name, value = arg[i]:match('^(%w+)=(.*)$')
	sent[name] = value
end

local texts = {}
local po = io.open('/lib/gluon/web/i18n/gluon-web-mesh-vpn-wguplink.' .. lang .. '.po')
if po then
	for id, text in po:read('*a'):gmatch('msgid ("[^\n]*")\nmsgstr ("[^\n]*")') do
		texts[loadstring('return ' .. id)()] = loadstring('return ' .. text)()
	end
	po:close()
end

local function class(base)
	local c = setmetatable({}, { __index = base, __call = function(self, ...)
		local o = setmetatable({ children = {} }, { __index = self })
		o:init(...)
		return o
	end })
	return c
end

local Node = class()
function Node:init(name, title, description)
	self.name, self.title, self.description = name, title or '', description or ''
end
function Node.write() end
function Node:append(o)
	table.insert(self.children, o)
	return o
end

local Value = class(Node)
function Value:read()
	return sent[self.name]
end
function Value:validate()
	if self.data == '' then
		self.data = nil
	end
	return self.data ~= nil or self.optional
end

local Flag = class(Value)
Flag.default = false
function Flag:read()
	return sent[self.name] ~= nil
end
function Flag.validate()
	return true
end

local Section = class(Node)
function Section:init(title, description, name)
	Node.init(self, name, title, description)
end
function Section:option(c, ...)
	return self:append(c(...))
end

local Form = class(Section)
function Form:section(c, ...)
	return self:append(c(...))
end

local env = setmetatable({ Form = Form, Section = Section, Value = Value, Flag = Flag,
	translate = function(text)
		return texts[text] and texts[text] ~= '' and texts[text] or text
	end,
}, { __index = _G })
local form = setfenv(assert(loadfile('/lib/gluon/config-mode/model/' .. model .. '.lua')), env)()

local function each(f)
	for _, s in ipairs(form.children) do
		for _, o in ipairs(s.children) do
			f(o)
		end
	end
end

if sent then
	local good = true
	each(function(o)
		o.data = o:read()
		if not o:validate() then
			good = false
			print('INVALID ' .. o.name)
		end
	end)
	if good then
		each(function(o) o:write(o.data) end)
	end
	os.exit(good and 0 or 1)
end

print('# ' .. form.title)
for _, s in ipairs(form.children) do
	print('## ' .. s.title)
	io.write((s.description:gsub('<br>', '\n')), s.description ~= '' and not s.description:find('<br>$') and '\n' or '')
	for _, o in ipairs(s.children) do
		print(o.title .. ' [' .. o.name .. ']: ' .. tostring(o.default))
		print('  ' .. o.description)
	end
end
print(form.submit == false and 'no button' or 'button')
