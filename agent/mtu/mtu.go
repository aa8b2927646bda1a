// Package mtu has the sizes of packets that more than one folder counts with, in bytes.
package mtu

const (
	// Least is the smallest MTU that IPv6 works over (RFC 8200, section 5).
	Least = 1280
	// Default is that of a WireGuard device over Ethernet, for both address families.
	Default = 1500 - WireGuard6
	// WireGuard6 is what WireGuard costs over IPv6: IPv6 40, UDP 8, message header 16, authenticator 16.
	WireGuard6 = 80
	// WireGuard4 is the same over IPv4, whose header has 20.
	WireGuard4 = 60
	// Userspace is the largest MTU that a userspace WireGuard device carries; larger packets are dropped. It follows
	// from the size of its packet buffers (2 KiB), less WireGuard's header (16), padding (up to 15) and authenticator
	// (16).
	Userspace = 2000
	// VXLAN is what VXLAN over IPv6 costs inside of the WireGuard device: IPv6 40, UDP 8, VXLAN 8, inner Ethernet
	// header 14 (RFC 7348, section 5).
	VXLAN = 70
)
