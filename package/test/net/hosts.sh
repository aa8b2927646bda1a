# shellcheck shell=sh

# hosts.sh - hosts of a small network, each a network namespace. Sourced by scripts that run in
# namespaces of their own for mounts and network, so that nothing of it is left, and nothing of the machine's is
# touched:
#
#   unshare --mount --net --pid --fork --kill-child script …
set -eu

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run

on() { # on HOST COMMAND...
	host=$1
	shift
	ip netns exec "$host" "$@"
}

host() { # host NAME
	ip netns add "$1"
	on "$1" ip link set lo up
	# Addresses and routes come from here, and not from router advertisements.
	on "$1" sysctl -qw net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.dad_transmits=0
}

wire() { # wire HOST DEVICE HOST DEVICE
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
	on "$1" ip link set "$2" up
	on "$3" ip link set "$4" up
}

bridge() { # bridge HOST NAME PORT: with the MAC of its port
	on "$1" ip link add "$2" type bridge forward_delay 0 mcast_snooping 0
	on "$1" ip link set "$3" master "$2"
	on "$1" ip link set "$2" up
}

address() { # address HOST DEVICE ADDRESS...
	to=$1 dev=$2
	shift 2
	for a; do
		on "$to" ip address add "$a" dev "$dev"
	done
}
