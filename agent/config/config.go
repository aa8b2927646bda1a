// Package config turns the UCI file /etc/config/wguplink into one validated, immutable value. All defaults, all units
// and all rules live here, in one table of options; docs/configuration.md is compared with it by a test.
//
// The private key is the one thing that is not here: the option private_key is known, so that it is not reported as a
// mistake, but its value is never read. See package identity.
package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"wguplink/agent/mtu"
	"wguplink/agent/signify"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// Package is the name of the UCI package, and with it of the file in /etc/config.
const Package = "wguplink"

// Config is the whole configuration. No code changes one once Load has returned it; two can be compared with
// reflect.DeepEqual.
type Config struct {
	// Uplinks come in the order of the file, disabled ones included. There may be none.
	Uplinks  []Uplink
	LogLevel slog.Level
	// Unused are options that have no meaning with their uplink's protocol or mode. They are left out.
	Unused Problems
	// Doubts are values that are allowed, and are likely to be mistakes.
	Doubts Problems
}

// Uplink is one tunnel.
type Uplink struct {
	// Name is the name of the UCI section: letters, digits and underscores.
	Name    string
	Enabled bool
	// Fault is the mistake that has LoadToRun leave the uplink out; "" when there is none.
	Fault string
	// Closed says that the mistake is in an option that restricts: what ran before it must not run on.
	Closed bool
	// KeyDoubt is the mistake that may hide the private key: where none is found, no new one takes its place. "" when
	// there is none.
	KeyDoubt string
	Protocol Protocol

	// Brokers are base URLs "scheme://host[:port][/prefix]" without the API's path and without a slash at the end.
	Brokers []*url.URL
	// BrokerCA is a PEM file with the only authorities to trust; "" means those of the system, "none" that only the
	// pins count.
	BrokerCA string
	// BrokerPins are SHA-256 digests of the SubjectPublicKeyInfo, one of which must be in the broker's chain. None: no
	// pinning.
	BrokerPins [][32]byte
	// BrokerTimeout bounds one whole exchange with one broker.
	BrokerTimeout time.Duration
	// OwnChoice has a wgkex broker only told the key; it does not choose the gateway.
	OwnChoice        bool
	Domain, Location string

	// ConfigKey is the one that signs a Parker network's configuration.
	ConfigKey signify.PublicKey
	// NodeName is what FFAC's registration calls the node; "" means its host name.
	NodeName string

	// NTPServers are "host", "host:port", an address, or "[v6]:port". Without an option of ours they are the system's.
	NTPServers []string
	// NTPGrace is how long to wait for the time before going on with a plausible clock.
	NTPGrace time.Duration
	// DNSServers are asked for the names of brokers, gateways and NTP servers; none: those in resolv.conf.
	DNSServers []netip.AddrPort

	// WANDevice is the one whose IPv6 MTU a Parker server is told; "" means that of the default route.
	WANDevice string
	// LimitIngress and LimitEgress bound what goes through each WireGuard device, seen from the node, in kbit/s; 0
	// means no limit.
	LimitIngress, LimitEgress uint32

	// Interface is the WireGuard device; with Parker what the names of the devices begin with.
	Interface string
	// Borrowed says that the device is another program's, as netifd's for the drop-in wgpeerselector: the agent waits
	// for it, and touches nothing on it but its own peers and their routes. No option sets it.
	Borrowed bool
	Backend  Backend
	// FwMark is on every packet that leaves through the WAN, ours and WireGuard's; 0 means none.
	FwMark uint32
	// ListenPort is the UDP port of the WireGuard device; 0 means any.
	ListenPort uint16
	// Keepalive is in whole seconds, 1 to 65535.
	Keepalive time.Duration
	// MTU is that of the WireGuard device; 0 means that the agent computes it from the WAN.
	MTU       int
	LinkLocal LinkLocal
	// LinkPrefix is the prefix length of the device's own link-local address: 64 or 128.
	LinkPrefix int
	// Unrouted says that no routes follow from the gateways' allowed IPs, only those to their link addresses.
	Unrouted bool
	Mode     Mode
	// VXLAN is the zero value in ModeLayer3.
	VXLAN VXLAN
	// Batman is the batman-adv interface that gets the VXLAN device as a hard interface; "" means none.
	Batman        string
	BatmanLink    Batman
	AddressFamily Family

	// KeyFile is the absolute path of the file with the private key; "" means the option private_key of this section.
	KeyFile string
	// KeyImport are places "package.section.option" to take a private key from when there is none yet.
	KeyImport []string

	// ProbeInterval is the time between two probes of a gateway on a link where nothing else is received.
	ProbeInterval time.Duration

	// Fleet is about how many nodes share the brokers and gateways; 0 means that it is not known.
	Fleet int

	// Rebalance is how often, on average, to choose the gateway anew although the present one works; 0 means never.
	Rebalance time.Duration

	// UpdateWatchdog is how long a node may be without a tunnel after a firmware update, while its WAN is up, before
	// the hooks hear of it; 0 means that nothing looks.
	UpdateWatchdog time.Duration

	// Gateways are the enabled static ones, in the order of the file.
	Gateways []peerselector.Peer
}

// Owns tells whether a WireGuard device has a name that the uplink gives.
func (u *Uplink) Owns(device string) bool {
	if u.Protocol != Parker {
		return device == u.Interface
	}
	number, ok := strings.CutPrefix(device, u.Interface)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Mesh names the devices that the mesh stands on beside those that Owns tells.
func (u *Uplink) Mesh() (names []string) {
	if u.Mode == ModeVXLAN {
		names = append(names, u.VXLAN.Name)
	}
	if u.Batman != "" {
		names = append(names, u.Batman)
	}
	return names
}

// Carries says whether a device is the uplink's tunnel, or one of Mesh.
func (u *Uplink) Carries(device string) bool {
	return u.Owns(device) || u.Mode == ModeVXLAN && device == u.VXLAN.Name || u.Batman != "" && device == u.Batman
}

// VXLAN is the layer-2 tunnel inside the WireGuard one.
type VXLAN struct {
	// Name is the name of the device.
	Name string
	// ID is the VXLAN network identifier, 1 to 16777215.
	ID uint32
	// Port is the UDP port on both sides.
	Port uint16
	// Checksum says to send UDP checksums.
	Checksum bool
	// MTU is that of the VXLAN device; 0 means VXLANOverhead less than the WireGuard device's.
	MTU int
}

// VXLANOverhead is what VXLAN costs inside of the WireGuard device, in bytes.
const VXLANOverhead = mtu.VXLAN
