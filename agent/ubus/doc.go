// Package ubus speaks the native protocol of OpenWrt's message bus ubusd: blobmsg values, calls of methods, objects
// served to others, and events. Passing of file descriptors, subscriptions and monitoring are left out.
//
// The wire format is that of openwrt/ubus (ubusmsg.h, libubus-io.c) and openwrt/libubox (blob.h, blobmsg.h). All
// integers are big-endian.
package ubus

// DefaultPath is where ubusd listens since OpenWrt 21.02.
const DefaultPath = "/var/run/ubus/ubus.sock"

// DefaultPaths returns all places where ubusd listens by default, the present one first.
func DefaultPaths() []string { return []string{DefaultPath, "/var/run/ubus.sock"} }
