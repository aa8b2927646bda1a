//go:build !nobroker

package main

import (
	"context"
	"net/netip"
	"os"
	"slices"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/network"
	"wguplink/agent/registration"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// newRegistrar makes the client of the protocol's server; nil in a build without brokers.
var newRegistrar = func(s registration.Source) (registration.Registrar, error) {
	header := broker.Identify("/", broker.Board{})
	p := pathOf(s)
	dial := p.ByName().DialContext
	switch s.Protocol {
	case config.Parker:
		return broker.NewParker(broker.ParkerOptions{
			Bases: s.Brokers, SigningKey: s.ConfigKey, CAFile: s.CA, Pins: s.Pins, Timeout: s.Timeout, Header: header,
			Dial: dial, Version: broker.Release("/"), V6MTU: func() (int, error) { return v6MTU(s.WANDevice, p) },
			Ingress: s.LimitIngress, Egress: s.LimitEgress,
		})
	case config.FFAC:
		name := s.NodeName
		if name == "" {
			name, _ = os.Hostname() // an empty one is refused with the way out
		}
		return broker.NewFFAC(broker.FFACOptions{
			URLs: s.Brokers, NodeName: name, CAFile: s.CA, Pins: s.Pins, Timeout: s.Timeout, Header: header, Dial: dial,
		})
	}
	return newClient(s)
}

// pathOf is the way to the servers.
func pathOf(s registration.Source) wan.Path {
	tunnel := config.Uplink{Protocol: s.Protocol, Interface: s.Interface}
	own := func(name string) bool { return tunnel.Owns(name) || slices.Contains(s.Mesh, name) }
	to := new(wan.Targets)
	to.Set(network.BrokerDestinations(s.Brokers))
	return wan.Path{Mark: s.FwMark, DNS: s.DNS, Own: own, To: to}
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
	s := registration.SourceOf(u, peerselector.Key{})
	s.OwnLink = netip.Addr{} // not known, and not asked for
	c, err := newClient(s)
	if err != nil {
		return nil, err
	}
	return c.Locations(ctx)
}

func newClient(s registration.Source) (*broker.Client, error) {
	return broker.New(broker.Options{
		Bases: s.Brokers, CAFile: s.CA, Pins: s.Pins, Timeout: s.Timeout, Domain: s.Domain, Location: s.Location,
		OwnChoice: s.OwnChoice,
		Layer3:    s.Layer3,
		Header:    broker.Identify("/", broker.Board{}), Dial: pathOf(s).ByName().DialContext, OwnLink: s.OwnLink,
	})
}
