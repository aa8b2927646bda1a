// Package registration keeps an uplink registered: it knows which servers are asked, when, and what they have said.
//
// A Registration does nothing by itself. Query says what shall be asked now; the caller runs it beside its loop, and
// hands the answer to Take.
package registration

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/signify"
	"wguplink/peerselector"
)

// Source is all that a Registrar is built from. A registrar knows nothing else of the configuration, so that two equal
// Sources give registrars that do the same: a reload compares them.
type Source struct {
	Protocol     config.Protocol
	Brokers      []*url.URL
	CA           string // as config.Uplink.BrokerCA
	Pins         [][32]byte
	Timeout      time.Duration
	OwnChoice    bool
	Layer3       bool // gateways need no link address
	Domain       string
	Location     string
	ConfigKey    signify.PublicKey
	NodeName     string
	WANDevice    string
	LimitIngress uint32 // kbit/s
	LimitEgress  uint32
	Interface    string   // begins the names of our own devices, which are no way out
	Mesh         []string // what the mesh stands on beside them, which is no way out either
	FwMark       uint32
	DNS          []netip.AddrPort
	Key          peerselector.Key // our own
	OwnLink      netip.Addr       // our own link address
}

// SourceOf takes out of a configuration what a Registrar is built from.
func SourceOf(u config.Uplink, key peerselector.Key) Source {
	return Source{
		Protocol: u.Protocol, Brokers: u.Brokers, CA: u.BrokerCA, Pins: u.BrokerPins, Timeout: u.BrokerTimeout,
		OwnChoice: u.OwnChoice, Layer3: u.Mode == config.ModeLayer3,
		Domain: u.Domain, Location: u.Location, ConfigKey: u.ConfigKey, NodeName: u.NodeName, WANDevice: u.WANDevice,
		LimitIngress: u.LimitIngress, LimitEgress: u.LimitEgress, Interface: u.Interface,
		Mesh: u.Mesh(), FwMark: u.FwMark,
		DNS: u.DNSServers,
		Key: key, OwnLink: u.LinkLocal.Of(key),
	}
}

// Registrar makes our key known and says which gateways to use.
type Registrar interface {
	Register(ctx context.Context, key peerselector.Key) (broker.Answer, error)
}

// Restorer is a Registrar that can go on with an answer of an earlier run.
type Restorer interface {
	Restore(saved []byte, key peerselector.Key) (broker.Answer, error)
}
