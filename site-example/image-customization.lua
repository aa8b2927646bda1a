-- For Gluon v2023.2 and later. Older ones read the features from site.mk, see v2023.1/site.mk.

packages { 'iwinfo' }

features {
	'autoupdater',
	'ebtables-filter-multicast',
	'ebtables-filter-ra-dhcp',
	'ebtables-limit-arp',
	'mesh-batman-adv-15',
	'mesh-vpn-wguplink', -- with Parker: mesh-vpn-parker-wguplink
	'respondd',
	'status-page',
	'web-advanced',
	'web-wizard',
}

if not device_class('tiny') then
	features { 'wireless-encryption-wpa3' }
end
