//go:build nobroker

package main

import (
	"context"
	"net/netip"

	"wguplink/agent/config"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
)

var (
	newRegistrar  func(config.Uplink, wan.Path, netip.Addr) (uplink.Registrar, error)
	listLocations func(context.Context, config.Uplink) ([]string, error)
)
