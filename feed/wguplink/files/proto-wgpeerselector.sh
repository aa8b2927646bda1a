#!/bin/sh
# The protocol wgpeerselector of netifd, as Gluon's package of that name has it: keeps the WireGuard interface that is
# its device connected to one of the peers of /etc/config/wgpeerselector.
# shellcheck shell=dash disable=SC1091 # OpenWrt's files

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

# The program's exit code for no peer, or no such group.
CONFIG_REFUSED=1

proto_wgpeerselector_init_config() {
	proto_config_add_string unix_group
}

proto_wgpeerselector_setup() {
	local config="$1" device="$2" unix_group
	json_get_vars unix_group

	# The dependency below is on an interface, not on a device. Without such an interface netifd would wait for ever and
	# say nothing. It also takes the device for its own: the device goes down, and loses its addresses.
	if ! ubus list "network.interface.$device" >/dev/null 2>&1; then
		proto_notify_error "$config" NO_INTERFACE_OF_THAT_NAME
		proto_block_restart "$config"
		return 1
	fi

	# The program waits for the device by itself. But netifd's own setup of it, which has the name of the device,
	# replaces all peers: begin after it.
	(proto_add_host_dependency "$config" '' "$device")
	proto_init_update "$device" 1
	proto_send_update "$config"

	set -- /usr/bin/wgpeerselector -i "$device"
	[ -z "$unix_group" ] || set -- "$@" --group "$unix_group"
	proto_run_command "$config" "$@"
}

# netifd starts what has ended again at once. A program that could not take its configuration would end at once, too,
# again and again: only another configuration can mend that, and ifup takes it then.
proto_wgpeerselector_teardown() {
	if [ "${ERROR:-0}" -eq "$CONFIG_REFUSED" ]; then
		proto_notify_error "$1" CONFIGURATION_REFUSED
		proto_block_restart "$1"
	fi
	proto_kill_command "$1"
}

add_protocol wgpeerselector
