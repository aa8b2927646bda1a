package config

import (
	"slices"
	"strconv"

	"wguplink/peerselector"
)

// What other front ends with UCI files of their own share with ours: the same rules and the same words for single
// values.

// SetUplink reads value as the option of an uplink section and stores it in u if it is good. A list has it called for
// each item. allowed says in words what is; ok is false also for options that do not stand for a field of Uplink by
// themselves.
func SetUplink(u *Uplink, option, value string) (allowed string, ok bool) {
	d := draft{uplink: *u}
	if allowed, ok = setOption(uplinkOptions, &d, option, value); ok {
		*u = d.uplink
	}
	return allowed, ok
}

// SetGateway does for a gateway section what SetUplink does for an uplink. The lists of p are never changed in place.
func SetGateway(p *peerselector.Peer, option, value string) (allowed string, ok bool) {
	d := draft{gateway: *p}
	d.gateway.Endpoints, d.gateway.AllowedIPs = slices.Clip(p.Endpoints), slices.Clip(p.AllowedIPs)
	if allowed, ok = setOption(gatewayOptions, &d, option, value); ok {
		*p = d.gateway
	}
	return allowed, ok
}

func setOption(options []option, d *draft, name, value string) (allowed string, ok bool) {
	for _, o := range options {
		if o.name == name {
			return o.allowed, o.set != nil && o.set(d, value)
		}
	}
	return "", false
}

// ParseBool takes the words that OpenWrt's own scripts take for a boolean.
func ParseBool(value string) (on bool, allowed string, ok bool) {
	ok = parseBool(value, &on)
	return on, allowedBool, ok
}

// SystemNTP returns the NTP servers that the system itself uses (system.ntp.server), those that make no sense left out.
// It reads the package system anew.
func SystemNTP(tree Reader) []string {
	l := loader{tree: tree}
	return l.systemNTP()
}

// SectionTitle is how Problem names a section: by its name, or "@type[index]" if libuci made the name up. The index
// counts all sections of the type, from 0.
func SectionTitle(name, typ string, index int) string {
	if isAnonymous(name) {
		return "@" + typ + "[" + strconv.Itoa(index) + "]"
	}
	return name
}
