# shellcheck shell=dash disable=SC2154 # config_get sets variables by name
# What the service, the protocol for netifd and the hotplug script share. /lib/functions.sh has to be there already.

# wguplink_device UPLINK [LAYER] prints the device of an uplink: the one on top, or with LAYER wireguard or vxlan that
# one. Returns 1 for no such uplink, 2 for one with a device for each gateway (Parker), 3 for no such layer.
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

# _wguplink_foreign SECTION TYPE NAME: is there such a section of the firewall that we have not made? Ours has that type
# and name.
_wguplink_foreign() {
	uci -q get "firewall.$1" >/dev/null || return 1
	! _wguplink_own "$@"
}

_wguplink_own() {
	[ "$(uci -q get "firewall.$1")" = "$2" ] && [ "$(uci -q get "firewall.$1.name")" = "$3" ]
}

# _wguplink_former UPLINK PORT PORTS prints the port that VXLAN had before, of those that the firewall lets in, quoted
# and after a space. It stays until the next start, and while the agent has a device for it: gateways go on sending
# there, and each of their packets is a new one to the firewall, because VXLAN answers from other ports than it hears
# by.
_wguplink_former() {
	local first='' second='' vxlan
	read -r first second <<-PORTS
		$3
	PORTS
	if [ "$first" = "$2" ]; then
		config_get vxlan "$1" vxlan_interface mesh-vpn
		[ -e "/sys/class/net/$(printf '%.11s' "$vxlan")-was" ] || return 0
		first=$second
	fi
	case $first in '' | *[!0-9]*) return 0 ;; esac
	echo " '$first'"
}

# _wguplink_rule UPLINK adds what the uplink needs of the firewall to $devices and $rules.
_wguplink_rule() {
	local on mode protocol device port section former
	config_get_bool on "$1" enabled 1
	config_get mode "$1" mode vxlan
	config_get protocol "$1" protocol static
	[ "$on" -eq 1 ] && [ "$mode" = vxlan ] && [ "$protocol" != parker ] || return 0
	config_get device "$1" interface wg_mesh
	config_get port "$1" vxlan_port 8472
	# What is no name of a device or no port the agent refuses, too; here it must not become anything else.
	case $device in '' | *[!A-Za-z0-9_.-]*) return 0 ;; esac
	case $port in '' | *[!0-9]*) return 0 ;; esac
	if _wguplink_foreign "wguplink_$1" rule "Allow-VXLAN-$1"; then
		logger -t wguplink -p daemon.warn "firewall.wguplink_$1 is not of wguplink's making, and stays: let VXLAN in by a rule of your own"
		return 0
	fi
	devices="$devices${devices:+ }'$device'"
	section=firewall.wguplink_$1
	former=$(_wguplink_former "$1" "$port" "$(uci -q get "$section.dest_port")")
	rules="$rules
$section=rule
$section.name='Allow-VXLAN-$1'
$section.src='wguplink'
$section.family='ipv6'
$section.proto='udp'
$section.src_ip='fe80::/10'
$section.dest_port='$port'$former
$section.target='ACCEPT'"
}

# wguplink_firewall lets VXLAN in through the WireGuard devices of all enabled uplinks, and nothing else. It keeps a
# zone wguplink and a rule for each uplink in the configuration of OpenWrt's firewall, and touches it only when it has
# to.
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
	if _wguplink_foreign wguplink zone wguplink; then
		logger -t wguplink -p daemon.warn "firewall.wguplink is not of wguplink's making, and stays: let VXLAN in by a zone of your own"
		return 0
	fi
	own=
	for section in $(uci -q show firewall | sed -n -e 's/^firewall\.\(wguplink\)=zone$/\1/p' \
		-e 's/^firewall\.\(wguplink_[A-Za-z0-9_]*\)=rule$/\1/p'); do
		if [ "$section" = wguplink ] || _wguplink_own "$section" rule "Allow-VXLAN-${section#wguplink_}"; then
			own="$own${own:+|}$section"
		fi
	done
	present=
	# The names are libuci's: letters, digits and underlines.
	[ -z "$own" ] || present=$(uci -q show firewall | grep -E "^firewall\.($own)[.=]")
	[ "$wanted" != "$present" ] || return 0
	if [ -n "$(uci -q changes firewall)" ]; then
		logger -t wguplink -p daemon.warn \
			'uncommitted firewall changes (uci changes firewall): VXLAN is let in at the next start'
		return 0
	fi

	IFS='|'
	for section in $own; do
		uci -q delete "firewall.$section"
	done
	unset IFS
	# One assignment a line; a list has several values. No value has a quote or a space in it: they are checked above.
	set -f
	echo "$wanted" | while IFS='=' read -r name values; do
		[ -n "$name" ] || continue
		command='set'
		case ${name##*.}=$values in device=* | *\ *) command='add_list' ;; esac
		for value in $values; do
			value=${value#\'}
			uci -q "$command" "$name=${value%\'}"
		done
	done
	uci -q commit firewall
	/etc/init.d/firewall reload
)
