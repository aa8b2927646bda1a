package config

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"wguplink/agent/derive"
	"wguplink/agent/mtu"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// option is one option of a type of section. The tables below are the one place that knows an option; its documentation
// is compared with them.
type option struct {
	name string
	list bool
	// def is the default in the words of UCI; it goes through set like any other value. "" means none.
	def     string
	allowed string
	// set stores a good value; lists have it called once for each. nil: the option is known, but never read.
	set func(d *draft, v string) bool
}

// draft is what one section, of any type, has said so far.
type draft struct {
	name  string // as UCI has it
	shown string // as people are told
	typ   string
	// given has every option with a value, true when all of it was good.
	given map[string]bool
	// partly has the options of which LoadToRun keeps what is good of them.
	partly map[string]bool

	level         slog.Level // of a global section
	uplink        Uplink
	seed, seedKey string
	gateway       peerselector.Peer
	gatewayOf     string
	enabled       bool // of a gateway section
}

// good tells whether the section has the option, and right; bad, whether it has it, but wrong.
func (d *draft) good(option string) bool { return d.given[option] }
func (d *draft) bad(option string) bool  { ok, given := d.given[option]; return given && !ok }

const (
	typeGlobal  = "global"
	typeUplink  = "uplink"
	typeGateway = "gateway"
	allTypes    = typeGlobal + ", " + typeUplink + ", " + typeGateway
)

// table returns the options of a type of section; nil when there is no such type.
func table(typ string) []option {
	switch typ {
	case typeGlobal:
		return globalOptions
	case typeUplink:
		return uplinkOptions
	case typeGateway:
		return gatewayOptions
	}
	return nil
}

var globalOptions = []option{
	{"log_level", false, "info", strings.Join(logLevelWords, ", "), func(d *draft, v string) bool {
		var i uint8
		ok := choice(logLevelWords, v, &i)
		if ok {
			d.level = logLevels[i]
		}
		return ok
	}},
	// The rest is read by the service's start script, not by the program: Go's memory settings have to be there before
	// it starts, and the firewall is OpenWrt's.
	{"gomemlimit", false, "", "8MiB to 4096MiB, or off", func(_ *draft, v string) bool {
		n, ok := strings.CutSuffix(v, "MiB")
		return v == "off" || ok && parseNumber(n, 8, 4096, new(uint64))
	}},
	{"gogc", false, "", "10 to 1000, or off", func(_ *draft, v string) bool {
		return v == "off" || parseNumber(v, 10, 1000, new(uint64))
	}},
	{"firewall", false, "1", allowedBool, func(_ *draft, v string) bool { return parseBool(v, new(bool)) }},
}

var uplinkOptions = []option{
	{"enabled", false, "1", allowedBool, func(d *draft, v string) bool { return parseBool(v, &d.uplink.Enabled) }},
	{"protocol", false, "static", strings.Join(protocolWords, ", "), func(d *draft, v string) bool {
		return choice(protocolWords, v, &d.uplink.Protocol)
	}},

	{"broker", true, "", allowedBroker, func(d *draft, v string) bool {
		return parseAnother(v, parseBroker, &d.uplink.Brokers)
	}},
	{"broker_ca", false, "", "the absolute path of a PEM file, or none", func(d *draft, v string) bool {
		return store(isPath(v) || v == noCA, v, &d.uplink.BrokerCA)
	}},
	{"broker_pin", true, "", "sha256/ and 32 bytes in base64, the same without sha256/, or 64 hexadecimal digits",
		func(d *draft, v string) bool {
			return parseAnother(v, parsePin, &d.uplink.BrokerPins)
		}},
	{"broker_timeout", false, "10", "seconds from 0.1 to 300", func(d *draft, v string) bool {
		return parseSeconds(v, 100*time.Millisecond, 300*time.Second, &d.uplink.BrokerTimeout)
	}},
	{"broker_choice", false, "1", allowedBool, func(d *draft, v string) bool {
		theirs := false
		ok := parseBool(v, &theirs)
		d.uplink.OwnChoice = !theirs
		return ok
	}},
	{"domain", false, "", "1 to 64 letters, digits, dots, dashes and underscores", func(d *draft, v string) bool {
		return store(len(v) <= maxText && onlyOf(v, "._-"), v, &d.uplink.Domain)
	}},
	{"config_pubkey", false, "", "a signify public key: one line of base64", func(d *draft, v string) bool {
		return parseSigningKey(v, &d.uplink.ConfigKey)
	}},
	{"node_name", false, "", allowedText, func(d *draft, v string) bool {
		return store(isText(v), v, &d.uplink.NodeName)
	}},
	{"location", false, "", allowedText, func(d *draft, v string) bool {
		return store(isText(v), v, &d.uplink.Location)
	}},

	{"ntp_server", true, "", allowedServer, func(d *draft, v string) bool {
		return parseAnother(v, parseServer, &d.uplink.NTPServers)
	}},
	{"ntp_grace", false, "15", "seconds from 0 to 3600", func(d *draft, v string) bool {
		return parseSeconds(v, 0, time.Hour, &d.uplink.NTPGrace)
	}},
	{"dns", true, "", allowedResolver, func(d *draft, v string) bool {
		return parseAnother(v, parseResolver, &d.uplink.DNSServers)
	}},

	{"wan_device", false, "", allowedLink, func(d *draft, v string) bool {
		return store(isLink(v), v, &d.uplink.WANDevice)
	}},
	{"limit_ingress", false, "0", allowedLimit, func(d *draft, v string) bool {
		return number(v, 0, MaxLimit, &d.uplink.LimitIngress)
	}},
	{"limit_egress", false, "0", allowedLimit, func(d *draft, v string) bool {
		return number(v, 0, MaxLimit, &d.uplink.LimitEgress)
	}},

	{"interface", false, "wg_mesh", allowedLink, func(d *draft, v string) bool {
		return store(isLink(v), v, &d.uplink.Interface)
	}},
	{"backend", false, "auto", strings.Join(backendWords, ", "), func(d *draft, v string) bool {
		return choice(backendWords, v, &d.uplink.Backend)
	}},
	{"fwmark", false, "1", "0 to 4294967295, or 0x0 to 0xffffffff", func(d *draft, v string) bool {
		return parseMark(v, &d.uplink.FwMark)
	}},
	{"listen_port", false, "0", "0 to 65535", func(d *draft, v string) bool {
		return number(v, 0, 65535, &d.uplink.ListenPort)
	}},
	{"keepalive", false, "25", "whole seconds from 1 to 65535", func(d *draft, v string) bool {
		return parseSeconds(v, time.Second, 65535*time.Second, &d.uplink.Keepalive) &&
			d.uplink.Keepalive%time.Second == 0
	}},
	{"mtu", false, "auto", "auto, or 1280 to 65535", func(d *draft, v string) bool {
		return parseMTU(v, mtu.Least, 65535, &d.uplink.MTU)
	}},
	{"link_local", false, "key_newline", strings.Join(linkLocalWords, ", "), func(d *draft, v string) bool {
		return choice(linkLocalWords, v, &d.uplink.LinkLocal)
	}},
	{"link_prefix", false, "64", "64, 128", func(d *draft, v string) bool {
		return number(v, 64, 128, &d.uplink.LinkPrefix) && (d.uplink.LinkPrefix == 64 || d.uplink.LinkPrefix == 128)
	}},
	{"route_allowed_ips", false, "1", allowedBool, func(d *draft, v string) bool {
		routed := false
		ok := parseBool(v, &routed)
		d.uplink.Unrouted = !routed
		return ok
	}},
	{"address_family", false, "auto", strings.Join(familyWords, ", "), func(d *draft, v string) bool {
		return choice(familyWords, v, &d.uplink.AddressFamily)
	}},

	{"probe_interval", false, "2", "seconds from 2 to 120", func(d *draft, v string) bool {
		return parseSeconds(v, 2*time.Second, 2*time.Minute, &d.uplink.ProbeInterval)
	}},
	{"fleet", false, "0", "0 to 1000000", func(d *draft, v string) bool {
		return number(v, 0, 1_000_000, &d.uplink.Fleet)
	}},
	{"rebalance", false, "off", strings.Join(rebalanceWords, ", "), func(d *draft, v string) bool {
		var i uint8
		return choice(rebalanceWords, v, &i) && store(true, rebalanceEvery[i], &d.uplink.Rebalance)
	}},

	{"update_watchdog", false, "0", "0 to 8760", func(d *draft, v string) bool {
		var hours uint16
		return number(v, 0, 8760, &hours) && store(true, time.Duration(hours)*time.Hour, &d.uplink.UpdateWatchdog)
	}},

	{"mode", false, "vxlan", strings.Join(modeWords, ", "), func(d *draft, v string) bool {
		return choice(modeWords, v, &d.uplink.Mode)
	}},
	{"vxlan_interface", false, "mesh-vpn", allowedLink, func(d *draft, v string) bool {
		return store(isLink(v), v, &d.uplink.VXLAN.Name)
	}},
	{"vxlan_id", false, "", "1 to 16777215", func(d *draft, v string) bool {
		return number(v, 1, 1<<24-1, &d.uplink.VXLAN.ID)
	}},
	{"domain_seed", false, "", "64 hexadecimal digits", func(d *draft, v string) bool {
		return store(isHex(v, derive.SeedLen), v, &d.seed)
	}},
	{"vxlan_seed_key", false, "gluon-mesh-vpn-vxlan", allowedText, func(d *draft, v string) bool {
		return store(isText(v), v, &d.seedKey)
	}},
	{"vxlan_port", false, "8472", "1 to 65535", func(d *draft, v string) bool {
		return number(v, 1, 65535, &d.uplink.VXLAN.Port)
	}},
	{"vxlan_checksum", false, "1", allowedBool, func(d *draft, v string) bool {
		return parseBool(v, &d.uplink.VXLAN.Checksum)
	}},
	{"vxlan_mtu", false, "auto", "auto, or 576 to 65465, and not more than mtu - 70", func(d *draft, v string) bool {
		return parseMTU(v, 576, 65535-VXLANOverhead, &d.uplink.VXLAN.MTU)
	}},
	{"batman", false, "", allowedLink, func(d *draft, v string) bool {
		return store(isLink(v), v, &d.uplink.Batman)
	}},
	batmanOptions[0],
	batmanOptions[1],

	{"key_file", false, "", "the absolute path of a file", func(d *draft, v string) bool {
		return store(isPath(v), v, &d.uplink.KeyFile)
	}},
	{"key_import", true, "", "package.section.option", func(d *draft, v string) bool {
		return add(isPlace(v), v, &d.uplink.KeyImport)
	}},
	{"private_key", false, "", "a private key as wg genkey makes it", nil},
}

var gatewayOptions = []option{
	{"enabled", false, "1", allowedBool, func(d *draft, v string) bool { return parseBool(v, &d.enabled) }},
	{"uplink", false, "", "the name of an uplink section", func(d *draft, v string) bool {
		return store(isName(v), v, &d.gatewayOf)
	}},
	{"public_key", false, "", "a WireGuard key: 44 characters of base64", func(d *draft, v string) bool {
		return parseKey(v, &d.gateway.PublicKey)
	}},
	{"endpoint", true, "", allowedEndpoint, func(d *draft, v string) bool {
		return add(isEndpoint(v), v, &d.gateway.Endpoints)
	}},
	{"link_address", false, "", "a link-local IPv6 address, in mode layer3 any unicast address; without prefix length",
		func(d *draft, v string) bool {
			a, err := netip.ParseAddr(v)
			return store(err == nil && isUnicast(a), a, &d.gateway.LinkAddress)
		}},
	{"allowed_ips", true, "", "prefixes such as fe80::1/128", func(d *draft, v string) bool {
		return parseAnother(v, parsePrefix, &d.gateway.AllowedIPs)
	}},
}

// MaxLimit is in kbit/s: the kernel's police action has bytes per second in 32 bits. Package tunnel has the same
// number.
const (
	MaxLimit     = math.MaxUint32 / 125
	allowedLimit = "kbit/s from 1 to 34359738, or 0"
)

// store stores v if it is good.
func store[T any](good bool, v T, to *T) bool {
	if good {
		*to = v
	}
	return good
}

// add appends v if it is good.
func add(good bool, v string, to *[]string) bool {
	if good {
		*to = append(*to, v)
	}
	return good
}

// parseAnother appends what v means if it is good.
func parseAnother[T any](v string, parse func(string, *T) bool, to *[]T) bool {
	var one T
	good := parse(v, &one)
	if good {
		*to = append(*to, one)
	}
	return good
}

// number stores a number of any width that hi fits into.
func number[T ~uint16 | ~uint32 | ~int](v string, lo, hi uint64, to *T) bool {
	var n uint64
	if !parseNumber(v, lo, hi, &n) {
		return false
	}
	*to = T(n)
	return true
}

// parseMTU takes a number or "auto", which is 0.
func parseMTU(v string, lo, hi uint64, to *int) bool {
	if v == "auto" {
		*to = 0
		return true
	}
	return number(v, lo, hi, to)
}
