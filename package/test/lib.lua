-- What the suites share: checks that are counted, and chroots to run scripts in.

local M = { passed = 0, failed = 0 }

-- Private keys that tests hand in.
M.KEYS = {
	['QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='] = true,
	['aOBqBSKMYbcPVcLNiJWUGhdXXGPDBHOb4RiCbVmlFHI='] = true,
}

function M.check(name, ok, detail)
	if ok then
		M.passed = M.passed + 1
	else
		M.failed = M.failed + 1
		print('FAIL ' .. name)
		if detail then
			print('     ' .. tostring(detail):gsub('\n', '\n     '))
		end
	end
	return ok
end

function M.equal(name, got, want)
	if got ~= want and #tostring(got) > 1000 and #tostring(want) > 1000 then
		M.write(M.tmp .. '/got', got)
		M.write(M.tmp .. '/want', want)
		return M.check(name, false, select(2, M.sh('diff -u ' .. M.tmp .. '/want ' .. M.tmp .. '/got')))
	end
	return M.check(name, got == want, 'got:\n' .. tostring(got) .. '\nwant:\n' .. tostring(want))
end

function M.contains(name, text, part)
	return M.check(name, text:find(part, 1, true), 'no "' .. part .. '" in:\n' .. text)
end

function M.read(path)
	local f = io.open(path)
	if not f then
		return nil
	end
	local text = f:read('*a')
	f:close()
	return text
end

function M.write(path, text)
	local f = assert(io.open(path, 'w'))
	f:write(text)
	f:close()
end

function M.quote(word)
	return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Runs a command of the shell. Returns whether it succeeded, its output and its errors.
function M.sh(command)
	local err = M.tmp .. '/stderr'
	local f = assert(io.popen('{ ' .. command .. '\n} 2>' .. err .. '; echo "=$?"'))
	local out = f:read('*a')
	f:close()
	local text, code = out:match('^(.*)=(%d+)\n$')
	return code == '0', text, M.read(err)
end

local roots = 0

-- A new chroot, with the files of config (package = text) in /etc/config, and the example site or the one given.
function M.root(config, site, domain)
	roots = roots + 1
	local root = {}
	root.path = M.tmp .. '/root' .. roots
	-- Links to the files of the first one; no test writes to those.
	assert(M.sh('cp -al ' .. M.tmp .. '/base ' .. root.path))

	function root.file(path)
		return M.read(root.path .. path)
	end

	function root.put(path, text)
		os.remove(root.path .. path)
		M.write(root.path .. path, text)
	end

	-- Returns whether it succeeded, output, errors.
	function root.run(command)
		return M.sh('env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LUA_PATH="/usr/lib/lua/?.lua" LD_LIBRARY_PATH=/lib/standin ' ..
			'chroot ' .. root.path .. ' /bin/sh -c ' .. M.quote(command))
	end

	-- Counts from now on how often the program is started; the function that is returned says so.
	function root.count_starts()
		assert(root.run('mv /usr/bin/wguplink /usr/bin/wguplink.real'))
		root.put('/usr/bin/wguplink', '#!/bin/sh\necho "$*" >>/run/starts\nexec /usr/bin/wguplink.real "$@"\n')
		assert(root.run('chmod 755 /usr/bin/wguplink'))
		return function()
			return select(2, (root.file('/run/starts') or ''):gsub('\n', ''))
		end
	end

	-- All scripts of ours in the order of Gluon's, with what its core does between them, and the commit at the end.
	function root.upgrade()
		local ok, out, err = root.run([[
			set -e
			cd /lib/gluon/upgrade
			for script in 4*; do ./$script; done
			lua /usr/lib/lua/core500.lua
			for script in 9[0-8]*; do ./$script; done
			for script in 99[0-8]*; do [ ! -e $script ] || ./$script; done
			uci commit
			for script in 999-*; do ./$script; done
		]])
		return ok, out, err
	end

	-- The same after Gluon's own scripts, as on a node.
	function root.reconfigure()
		local ok, out, err = root.run('lua /usr/lib/lua/gluon_own.lua && uci commit')
		if not ok then
			return ok, out, err
		end
		ok, out, err = root.upgrade()
		root.run('rm -f /etc/config/*_gluon-old')
		return ok, out, err
	end

	-- All of /etc/config, but for files without content: UCI needs some of those to be there.
	function root.configuration()
		return (select(2, root.run('cd /etc/config && for f in *; do [ ! -s $f ] || { echo "--- $f"; cat $f; }; done')))
	end

	for package, text in pairs(config or {}) do
		root.put('/etc/config/' .. package, text)
	end
	root.put('/lib/gluon/site.conf', site or M.read('site-example/site.conf'))
	root.put('/lib/gluon/domains/ffxx_city.conf', domain or M.read('site-example/domains/ffxx_city.conf'))
	return root
end

-- Compares with a file of golden/, or writes it if GOLDEN is set.
function M.golden(name, text)
	local path = 'package/test/golden/' .. name
	-- A key that the node has made is another one each time.
	text = text:gsub("(option private_key ')([^']+)'", function(before, key)
		return before .. (M.KEYS[key] and key or 'MADE') .. "'"
	end)
	if os.getenv('GOLDEN') then
		M.write(path, text)
	end
	return M.equal('golden ' .. name, text, M.read(path))
end

return M
