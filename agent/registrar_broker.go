//go:build !nobroker

package main

import (
	"net/netip"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
)

// newRegistrar makes the client of a wgkex broker; nil in a build without brokers.
var newRegistrar = func(u config.Uplink, p wan.Path, ownLink netip.Addr) (uplink.Registrar, error) {
	return broker.New(broker.Options{
		Bases: u.Brokers, CAFile: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout, Domain: u.Domain, Location: u.Location,
		Header: broker.Identify("/", broker.Board{}), Dial: p.DialContext, OwnLink: ownLink,
	})
}
