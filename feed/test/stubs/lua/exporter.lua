-- The part of prometheus-node-exporter-lua that a collector sees: metric() prints a type, and gives what prints a
-- sample; with a value it prints that at once. A sample without a value is left out. Labels are in order here, so that
-- the output can be compared.
function metric(name, kind, labels, value) -- luacheck: ignore
	io.write('# TYPE ', name, ' ', kind, '\n')
	local function sample(set, number)
		if number == nil then
			return
		end
		local words = {}
		for k, v in pairs(set or {}) do
			assert(type(v) == 'string')
			words[#words + 1] = k .. '="' .. v .. '"'
		end
		table.sort(words)
		io.write(name, #words > 0 and '{' .. table.concat(words, ',') .. '}' or '', ' ', number, '\n')
	end
	if value then
		sample(labels, value)
	end
	return sample
end

require('prometheus-collectors.' .. arg[1]).scrape()
