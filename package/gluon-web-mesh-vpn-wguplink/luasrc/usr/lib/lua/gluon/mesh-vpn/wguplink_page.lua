-- What the page of the mesh VPN shows and stores, without its looks.

local json = require 'jsonc'
local simple_uci = require 'simple-uci'
local util = require 'gluon.util'
local site = require 'gluon.site'
local rules = require 'gluon.mesh-vpn.wguplink_rules'
local wguplink = require 'gluon.mesh-vpn.wguplink'

local M = {}

-- Written by /etc/init.d/wguplink-last-status.
M.file = '/etc/wguplink/last-status.json'

local function first(text)
	local all = text and json.parse(text)
	if type(all) ~= 'table' then
		return nil
	end
	for _, s in ipairs(all) do
		if type(s) == 'table' and s.uplink == wguplink.uplink then
			return s
		end
	end
end

-- What the agent says on ubus, where one runs.
local function present()
	local answer = json.parse(util.exec('ubus -S call wguplink status 2>/dev/null'))
	local uplinks = type(answer) == 'table' and answer.uplinks
	local now = type(uplinks) == 'table' and uplinks[wguplink.uplink]
	return type(now) == 'table' and now or nil
end

-- The status of this moment, or the last before setup mode; nil when there is none. The second value: is it old? The
-- program is not started for that.
function M.status()
	local now = present()
	if now and now.state ~= 'stopped' then
		return now, false
	end
	return first(util.readfile(M.file)), true
end

function M.public_key()
	return wguplink.public_key()
end

-- Whether a broker is asked: without one there is nothing to choose.
function M.broker()
	return simple_uci.cursor():get('wguplink', wguplink.uplink, 'protocol') == 'wgkex'
end

function M.location()
	return simple_uci.cursor():get('wguplink', wguplink.uplink, 'location')
end

function M.valid_location(value)
	return rules.good('uplink', 'location', value)
end

-- The site's own location, which counts where the owner has none.
function M.site_location()
	return site.mesh_vpn.wireguard.location()
end

function M.set_location(value)
	local uci = simple_uci.cursor()
	value = value or M.site_location()
	if value then
		uci:set('wguplink', wguplink.uplink, 'location', value)
	else
		uci:delete('wguplink', wguplink.uplink, 'location')
	end
	uci:save('wguplink')
	uci:commit('wguplink')
end

-- Whether the site leaves it to the owner who chooses the gateway (Munich's loadbalancing).
function M.may_choose()
	local choice = site.mesh_vpn.wireguard.loadbalancing()
	return M.broker() and (choice == 'on-by-default' or choice == 'off-by-default')
end

function M.broker_chooses()
	local uci = simple_uci.cursor()
	local word = uci:get('wireguard', 'mesh_vpn', 'loadbalancing')
	if word == '0' or word == '1' then
		return word == '1'
	end
	return site.mesh_vpn.wireguard.loadbalancing() == 'on-by-default'
end

-- The owner's word is kept where Munich's package has it, and takes effect at once.
function M.set_broker_chooses(on)
	local uci = simple_uci.cursor()
	uci:section('wireguard', 'wireguard', 'mesh_vpn', { loadbalancing = on and '1' or '0' })
	if on then
		uci:delete('wguplink', wguplink.uplink, 'broker_choice')
	else
		uci:set('wguplink', wguplink.uplink, 'broker_choice', '0')
	end
	uci:save('wireguard')
	uci:commit('wireguard')
	uci:save('wguplink')
	uci:commit('wguplink')
end

return M
