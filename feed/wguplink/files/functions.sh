# shellcheck shell=dash disable=SC2154 # config_get sets variables by name
# What the service, the protocol for netifd and the hotplug script share. /lib/functions.sh has to be there already.

# wguplink_device UPLINK [LAYER] prints the device of an uplink: the one on top, or with LAYER wireguard or vxlan that one.
# Returns 1 for no such uplink, 2 for one with a device for each gateway (Parker), 3 for no such layer.
wguplink_device() (
	config_load wguplink
	config_get type "$1" TYPE
	[ "$type" = uplink ] || return 1
	config_get protocol "$1" protocol static
	[ "$protocol" != parker ] || return 2
	config_get mode "$1" mode vxlan
	case "${2:-auto}-$mode" in
	wireguard-* | auto-layer3) config_get device "$1" interface wg_mesh ;;
	vxlan-vxlan | auto-vxlan) config_get device "$1" vxlan_interface mesh-vpn ;;
	*) return 3 ;;
	esac
	echo "$device"
)

# _wguplink_rule UPLINK adds what the uplink needs of the firewall to $devices and $rules.
_wguplink_rule() {
	local on mode protocol device port section
	config_get_bool on "$1" enabled 1
	config_get mode "$1" mode vxlan
	config_get protocol "$1" protocol static
	[ "$on" -eq 1 ] && [ "$mode" = vxlan ] && [ "$protocol" != parker ] || return 0
	config_get device "$1" interface wg_mesh
	config_get port "$1" vxlan_port 8472
	devices="$devices${devices:+ }'$device'"
	section=firewall.wguplink_$1
	rules="$rules
$section=rule
$section.name='Allow-VXLAN-$1'
$section.src='wguplink'
$section.family='ipv6'
$section.proto='udp'
$section.src_ip='fe80::/10'
$section.dest_port='$port'
$section.target='ACCEPT'"
}

# wguplink_firewall lets VXLAN in through the WireGuard devices of all enabled uplinks, and nothing else. It keeps a zone
# wguplink and a rule for each uplink in the configuration of OpenWrt's firewall, and touches it only when it has to.
wguplink_firewall() (
	[ ! -d /lib/gluon ] && [ -f /etc/config/firewall ] || return 0
	devices='' rules=''
	config_load wguplink
	config_foreach _wguplink_rule uplink
	wanted=
	[ -z "$devices" ] || wanted="firewall.wguplink=zone
firewall.wguplink.name='wguplink'
firewall.wguplink.device=$devices
firewall.wguplink.input='REJECT'
firewall.wguplink.output='ACCEPT'
firewall.wguplink.forward='REJECT'$rules"
	present=$(uci -q show firewall | grep -E '^firewall\.wguplink(_[A-Za-z0-9_]+)?[.=]')
	[ "$wanted" != "$present" ] || return 0
	if [ -n "$(uci -q changes firewall)" ]; then
		logger -t wguplink -p daemon.warn 'somebody has uncommitted changes of the firewall: VXLAN is let in at the next start'
		return 0
	fi

	for section in $(echo "$present" | sed -n 's/^\(firewall\.wguplink[A-Za-z0-9_]*\)=.*/\1/p'); do
		uci -q delete "$section"
	done
	# One assignment a line, quoted as the shell quotes; a list has several values.
	echo "$wanted" | while IFS='=' read -r name values; do
		[ -n "$name" ] || continue
		eval "set -- $values"
		command='set'
		[ "${name##*.}" != device ] || command='add_list'
		for value; do uci -q "$command" "$name=$value"; done
	done
	uci -q commit firewall
	/etc/init.d/firewall reload
)
