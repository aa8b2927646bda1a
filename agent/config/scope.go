package config

import "strings"

// scope says which uplinks can use an option: a bit for each Protocol and a bit for each Mode. The zero value is all of
// them.
type scope struct{ protocols, modes uint8 }

const (
	withBroker = 1<<WGKex | 1<<Parker | 1<<FFAC
	inside     = 1<<Static | 1<<WGKex | 1<<FFAC // one device, with something of ours inside
)

// scopeOf returns the scope of an option of an uplink section. docs/configuration.md and the site check of Gluon are
// generated from it.
func scopeOf(option string) scope {
	switch option {
	case "broker", "broker_ca", "broker_pin", "broker_timeout":
		return scope{protocols: withBroker}
	case "broker_choice", "domain", "location":
		return scope{protocols: 1 << WGKex}
	case "node_name":
		return scope{protocols: 1 << FFAC}
	case "config_pubkey":
		return scope{protocols: 1 << Parker}
	case "mode", "listen_port", "link_local", "link_prefix":
		return scope{protocols: inside}
	case "vxlan_interface", "vxlan_id", "domain_seed", "vxlan_seed_key", "vxlan_port", "vxlan_checksum", "vxlan_mtu",
		"batman", "batman_throughput", "batman_hop_penalty":
		return scope{protocols: inside, modes: 1 << ModeVXLAN}
	}
	return scope{}
}

// allows tells whether an uplink with this protocol and mode can use the option.
func (s scope) allows(p Protocol, m Mode) bool {
	return (s.protocols == 0 || s.protocols&(1<<p) != 0) && (s.modes == 0 || s.modes&(1<<m) != 0)
}

// String says it in words; "" for all uplinks.
func (s scope) String() string {
	var parts []string
	if s.protocols != 0 {
		parts = append(parts, "protocol "+bits(protocolWords, s.protocols))
	}
	if s.modes != 0 {
		parts = append(parts, "mode "+bits(modeWords, s.modes))
	}
	return strings.Join(parts, ", ")
}

func bits(words []string, set uint8) string {
	var found []string
	for i, w := range words {
		if set&(1<<i) != 0 {
			found = append(found, w)
		}
	}
	return strings.Join(found, " or ")
}

// readScope reads protocol and mode before all else, as they decide which other options count. It tells whether both
// are good.
func (l *loader) readScope(d *draft, options []option) bool {
	known := true
	for _, o := range options {
		if (o.name == "protocol" || o.name == "mode") && !l.ignored[d.shown+"."+o.name] {
			for _, v := range l.values(d, o.name) {
				known = o.set(d, v) && known
			}
		}
	}
	return known
}

// outside notes an option that the uplink's protocol or mode has no use for, and tells whether it is one. Such an
// option is left out: it keeps no node from its uplink, but it is not what its author meant.
func (l *loader) outside(d *draft, o option) bool {
	s := scopeOf(o.name)
	if s.allows(d.uplink.Protocol, d.uplink.Mode) {
		return false
	}
	values := l.values(d, o.name)
	if len(values) == 0 || !o.list && len(values) > 1 {
		return false
	}
	for _, v := range values {
		if !o.set(&draft{}, v) {
			return false // a mistake in any case
		}
	}
	has := "has no meaning with protocol " + d.uplink.Protocol.String()
	if s.allows(d.uplink.Protocol, ModeVXLAN) {
		has = "has no meaning with mode " + d.uplink.Mode.String()
	}
	v := l.value(d, o.name)
	if o.name == "broker" {
		v = hidePassword(v)
	}
	l.unused = append(l.unused, Problem{l.file, d.shown, o.name, v, has + " and is not used", "with " + s.String()})
	return true
}
