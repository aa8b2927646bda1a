//go:build !nobroker

package main

import (
	"context"
	"net/netip"
	"os"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
)

// newRegistrar makes the client of whatever server the protocol has; nil in a build without brokers.
var newRegistrar = func(u config.Uplink, p wan.Path, ownLink netip.Addr) (uplink.Registrar, error) {
	header := broker.Identify("/", broker.Board{})
	dial := p.ByName().DialContext
	switch u.Protocol {
	case config.Parker:
		return broker.NewParker(broker.ParkerOptions{
			Bases: u.Brokers, SigningKey: u.ConfigKey, CAFile: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout, Header: header,
			Dial: dial, Version: broker.Release("/"), V6MTU: func() (int, error) { return v6MTU(u.WANDevice, p) },
			Ingress: u.LimitIngress, Egress: u.LimitEgress,
		})
	case config.FFAC:
		name := u.NodeName
		if name == "" {
			name, _ = os.Hostname() // an empty one is refused with the way out
		}
		return broker.NewFFAC(broker.FFACOptions{
			URLs: u.Brokers, NodeName: name, CAFile: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout, Header: header, Dial: dial,
		})
	}
	return newClient(u, p, ownLink)
}

// v6MTU is what IPv6 packets of the WAN may have, in bytes.
func v6MTU(device string, p wan.Path) (int, error) {
	if device == "" {
		s, err := p.State()
		if err != nil {
			return 0, err
		}
		if device = s.Dev6; device == "" {
			device = s.Dev4
		}
	}
	return wan.MTU6(device)
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
		Bases: u.Brokers, CAFile: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout, Domain: u.Domain, Location: u.Location, OwnChoice: u.OwnChoice,
		Layer3: u.Mode == config.ModeLayer3,
		Header: broker.Identify("/", broker.Board{}), Dial: p.ByName().DialContext, OwnLink: ownLink,
	})
}
