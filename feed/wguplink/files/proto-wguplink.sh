#!/bin/sh
# The protocol wguplink of netifd: the device of an uplink as an interface, for zones, addresses on top, and other
# services.
#
#	config interface 'mesh'
#		option proto 'wguplink'
#		option uplink 'mesh'     # section of /etc/config/wguplink; default: the name of this interface
#		option layer 'auto'      # auto: what is on top; or wireguard, vxlan
#
# The device stays the agent's: netifd is told of it as external, and so neither sets it down nor takes its addresses
# away. Nothing waits here: an interface without its device is not available, and the hotplug script makes it so.
# shellcheck shell=dash disable=SC1091,SC2034 # OpenWrt's files; variables that netifd-proto.sh reads

. /lib/functions.sh
. /lib/functions/wguplink.sh
. ../netifd-proto.sh
init_proto "$@"

proto_wguplink_init_config() {
	no_device=1
	available=1
	no_proto_task=1
	teardown_on_l3_link_down=1
	proto_config_add_string uplink
	proto_config_add_string layer
}

proto_wguplink_setup() {
	local config="$1" uplink layer device
	json_get_vars uplink layer
	device=$(wguplink_device "${uplink:-$config}" "$layer")
	case $? in
	0) ;;
	2) _proto_wguplink_refuse "$config" ONE_DEVICE_PER_GATEWAY ;;
	3) _proto_wguplink_refuse "$config" NO_SUCH_LAYER ;;
	*) _proto_wguplink_refuse "$config" NO_SUCH_UPLINK ;;
	esac || return 1

	if [ ! -e "/sys/class/net/$device" ]; then
		proto_notify_error "$config" NO_DEVICE
		proto_set_available "$config" 0
		return 1
	fi
	proto_init_update "$device" 1 1
	proto_send_update "$config"
}

# _proto_wguplink_refuse: what only another configuration can mend.
_proto_wguplink_refuse() {
	proto_notify_error "$1" "$2"
	proto_block_restart "$1"
	return 1
}

# The device may have come after setup has looked, and before that was known to netifd.
proto_wguplink_teardown() {
	local config="$1" uplink layer device
	json_get_vars uplink layer
	device=$(wguplink_device "${uplink:-$config}" "$layer") || return 0
	[ ! -e "/sys/class/net/$device" ] || proto_set_available "$config" 1
}

add_protocol wguplink
