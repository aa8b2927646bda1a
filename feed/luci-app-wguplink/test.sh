#!/bin/sh
# test.sh - whether an installed package works: sh test.sh PACKAGE VERSION, as OpenWrt's feeds have it
case "$1" in
luci-app-wguplink)
	# What rpcd asks, when it starts.
	/usr/libexec/rpcd/luci.wguplink list | grep -F '"doctor"'
	;;
*) exit 0 ;; # the translations
esac
