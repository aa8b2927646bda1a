#!/bin/sh
# test.sh - whether an installed package works: sh test.sh PACKAGE VERSION, as OpenWrt's feeds have it
case "$1" in
wguplink | wguplink-userspace | wguplink-mini)
	wguplink version | grep -F " $2" || exit 1
	wguplink config check
	;;
wguplink-wgpeerselector)
	wgpeerselector --version | grep -F " $2" || exit 1
	sh -n /lib/netifd/proto/wgpeerselector.sh
	;;
prometheus-node-exporter-lua-wguplink)
	# The exporter loads it so.
	lua -e 'assert(loadfile("/usr/lib/lua/prometheus-collectors/wguplink.lua"))'
	;;
*) exit 0 ;;
esac
