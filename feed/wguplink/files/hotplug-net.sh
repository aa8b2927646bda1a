#!/bin/sh
# netifd's interfaces with protocol wguplink are available when their device is there.
# shellcheck shell=dash disable=SC1091 # OpenWrt's files

case "$ACTION" in
add) available=1 ;;
remove) available=0 ;;
*) exit 0 ;;
esac
grep -qs wguplink /etc/config/network || exit 0

. /lib/functions.sh
. /lib/functions/wguplink.sh
. /lib/netifd/netifd-proto.sh

tell() {
	local proto uplink layer device
	config_get proto "$1" proto
	[ "$proto" = wguplink ] || return 0
	config_get uplink "$1" uplink "$1"
	config_get layer "$1" layer
	device=$(wguplink_device "$uplink" "$layer") || return 0
	[ "$device" != "$INTERFACE" ] || proto_set_available "$1" "$available"
}
config_load network
config_foreach tell interface
