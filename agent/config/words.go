package config

import (
	"net/netip"
	"time"

	"wguplink/agent/derive"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// Protocol says where the gateways come from.
type Protocol uint8

const (
	// Static gateways are those of the configuration.
	Static Protocol = iota
	// WGKex gateways are those that a wgkex broker names (freifunkMUC/wgkex).
	WGKex
	// Parker gateways, and what the node itself is, stand in a signed configuration (ffbs-mesh-vpn-parker).
	Parker
	// FFAC gateways are those of the configuration, once the key is registered (ffac-wg-registration).
	FFAC
)

// Registers says that the gateways have to be told our key by a broker, which is to be asked.
func (p Protocol) Registers() bool { return p != Static }

// Backend says who runs the WireGuard device. Its zero value is Auto.
type Backend uint8

// Family says over which address family to reach a gateway. Its zero value is Auto.
type Family uint8

// Auto leaves the choice to the agent. It is a Backend (the kernel's where there is one) and a Family (both, in a
// race); so it has no type of its own.
const Auto = 0

const (
	// Kernel accepts the kernel's WireGuard only.
	Kernel Backend = iota + 1
	// Userspace runs wireguard-go even where the kernel could do it.
	Userspace
)

const (
	// Prefer6 tries IPv6 first, IPv4 next.
	Prefer6 Family = iota + 1
	// Only6 never uses IPv4.
	Only6
	// Only4 never uses IPv6.
	Only4
)

// LinkLocal says how the tunnel's own address is derived from the public key. See package derive.
type LinkLocal uint8

const (
	// KeyNewline derives it from the key and a newline, as wgkex does.
	KeyNewline LinkLocal = iota
	// KeyOnly derives it from the key alone, as Gluon's own WireGuard package does.
	KeyOnly
)

// Of gives the address that follows from a key.
func (l LinkLocal) Of(key peerselector.Key) netip.Addr { return derive.LinkLocal(key, l == KeyNewline) }

// Other is the other way to derive it.
func (l LinkLocal) Other() LinkLocal {
	if l == KeyOnly {
		return KeyNewline
	}
	return KeyOnly
}

// Mode says what runs inside the tunnel.
type Mode uint8

const (
	// ModeVXLAN carries Ethernet frames in VXLAN.
	ModeVXLAN Mode = iota
	// ModeLayer3 carries plain IP.
	ModeLayer3
)

// The words of UCI, each at the index of its constant.
var (
	protocolWords  = []string{"static", "wgkex", "parker", "ffac"}
	backendWords   = []string{"auto", "kernel", "userspace"}
	familyWords    = []string{"auto", "prefer6", "only6", "only4"}
	linkLocalWords = []string{"key_newline", "key"}
	modeWords      = []string{"vxlan", "layer3"}
	rebalanceWords = []string{"off", "daily"}
	rebalanceEvery = []time.Duration{0, 24 * time.Hour}
	logLevelWords  = []string{"error", "warn", "info", "debug"}
	logLevels      = []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}
)

// String returns the word that UCI has for it.

func (p Protocol) String() string { return word(protocolWords, uint8(p)) }

// String returns the word that UCI has for it.
func (b Backend) String() string { return word(backendWords, uint8(b)) }

// String returns the word that UCI has for it.
func (f Family) String() string { return word(familyWords, uint8(f)) }

// String returns the word that UCI has for it.
func (l LinkLocal) String() string { return word(linkLocalWords, uint8(l)) }

// String returns the word that UCI has for it.
func (m Mode) String() string { return word(modeWords, uint8(m)) }

func word(words []string, i uint8) string {
	if int(i) < len(words) {
		return words[i]
	}
	return "unknown"
}

// choice stores the constant whose word is v.
func choice[T ~uint8](words []string, v string, to *T) bool {
	for i, w := range words {
		if v == w {
			*to = T(i)
			return true
		}
	}
	return false
}
