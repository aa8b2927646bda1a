#!/bin/sh
# test.sh - whether an installed package works: sh test.sh PACKAGE VERSION, as OpenWrt's feeds have it
case "$1" in
wguplink | wguplink-userspace | wguplink-mini)
	wguplink version | grep -F " $2" || exit 1
	wguplink config check
	;;
wguplink-wgpeerselector) wgpeerselector --version | grep -F " $2" ;;
*) exit 0 ;;
esac
