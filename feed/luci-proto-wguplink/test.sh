#!/bin/sh
# test.sh - whether an installed package works: sh test.sh PACKAGE VERSION, as OpenWrt's feeds have it
case "$1" in
luci-proto-wguplink)
	# What netifd and the page have to agree about.
	grep -F "registerProtocol('wguplink'" /www/luci-static/resources/protocol/wguplink.js || exit 1
	grep -F 'add_protocol wguplink' /lib/netifd/proto/wguplink.sh
	;;
*) exit 0 ;; # the translations
esac
