//go:build !nobroker

package main

import (
	"context"
	"net/netip"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
)

// newRegistrar makes the client of a wgkex broker; nil in a build without brokers.
var newRegistrar = func(u config.Uplink, p wan.Path, ownLink netip.Addr) (uplink.Registrar, error) {
	return newClient(u, p, ownLink)
}

// listLocations asks the broker of an uplink for the locations to choose from; nil in a build without brokers.
var listLocations = func(ctx context.Context, u config.Uplink) ([]string, error) {
	c, err := newClient(u, wan.Path{Mark: u.FwMark, DNS: u.DNSServers}, netip.Addr{})
	if err != nil {
		return nil, err
	}
	return c.Locations(ctx)
}

func newClient(u config.Uplink, p wan.Path, ownLink netip.Addr) (*broker.Client, error) {
	return broker.New(broker.Options{
		Bases: u.Brokers, CAFile: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout, Domain: u.Domain, Location: u.Location,
		Header: broker.Identify("/", broker.Board{}), Dial: p.DialContext, OwnLink: ownLink,
	})
}
