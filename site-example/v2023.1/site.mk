# For Gluon v2022.1 and v2023.1: take this instead of ../site.mk and ../image-customization.lua. Their Go is too old to
# build wguplink from source: it takes a prebuilt program.

GLUON_FEATURES := \
	autoupdater \
	ebtables-filter-multicast \
	ebtables-filter-ra-dhcp \
	ebtables-limit-arp \
	mesh-batman-adv-15 \
	mesh-vpn-wguplink \
	respondd \
	status-page \
	web-advanced \
	web-wizard

GLUON_FEATURES_standard := \
	wireless-encryption-wpa3

GLUON_SITE_PACKAGES := iwinfo

GLUON_RELEASE ?= 1.0+exp$(shell date '+%Y%m%d')
GLUON_PRIORITY ?= 0
GLUON_REGION ?= eu
GLUON_LANGS ?= en de fr
GLUON_MULTIDOMAIN := 1
