-- The example site in its two forms: with WireGuard, as it stands, and with its commented lines about Parker instead.

local lib = require 'lib'

local EXAMPLE = lib.read('site-example/site.conf')
local CITY = lib.read('site-example/domains/ffxx_city.conf')

return {
	WIREGUARD = EXAMPLE,
	WIREGUARD_DOMAIN = CITY,
	PARKER = EXAMPLE:gsub('wireguard = %b{}', 'parker = { mtu = 1375 }')
		:gsub('%-%- (parker = {)\n', '%1\n'):gsub('\n\t%-%- ?(\tconfig_)', '\n%1'):gsub('\n\t%-%- },', '\n\t},'),
	PARKER_DOMAIN = CITY:gsub('mesh_vpn = %b{},', ''),
}
