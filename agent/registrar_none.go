//go:build nobroker

package main

import (
	"net/netip"

	"wguplink/agent/config"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
)

var newRegistrar func(config.Uplink, wan.Path, netip.Addr) (uplink.Registrar, error)
