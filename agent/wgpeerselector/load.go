package wgpeerselector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wguplink/agent/config"
	"wguplink/peerselector"
)

// Package is the name of the UCI package, and with it of the file in /etc/config.
const Package = "wgpeerselector"

const (
	typePeer = "peer"
	// gluonMark is the mark of Gluon's packets for the WAN (gluon-mesh-vpn-wireguard).
	gluonMark = 1
	// ntpGrace is short because the original goes on without the time as well. The clock is asked for meanwhile.
	ntpGrace = 2 * time.Second
	// keepalive keeps a NAT's mapping, and is what makes WireGuard shake hands without payload. The original has none,
	// and relies on the mesh protocol's packets.
	keepalive = 25 * time.Second
)

// Name is what the uplink on an interface is called: in the log, as a file below the run directory, and on ubus, where
// the name is the original's. The dot keeps it apart from every uplink of /etc/config/wguplink, and an interface's name
// has no slash.
func Name(ifname string) string { return Package + "." + ifname }

// Load reads the peers of one interface. What is wrong with single peers is in the Problems, with or without an error,
// and keeps the others from nothing. The error, about all of it, wraps os.ErrNotExist when there is no file.
//
// A peer counts with "enabled" on and "ifname" the interface, as in the original: without these options it does not.
// The packages wgpeerselector, network and system are read anew.
func Load(tree config.Reader, a Args) (config.Uplink, config.Problems, error) {
	file := filepath.Join(a.Config, Package)
	if err := tree.LoadConfig(Package, true); errors.Is(err, os.ErrNotExist) {
		return config.Uplink{}, nil,
			fmt.Errorf("there is no %s: make the file, with a section \"config %s 'NAME'\" for each peer: %w",
				file, typePeer, err)
	} else if err != nil {
		return config.Uplink{}, nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	l := loader{tree: tree, file: file, ifname: a.Interface}
	l.readPeers()
	if len(l.peers) == 0 {
		return config.Uplink{}, l.problems, l.noPeer()
	}
	u := config.Uplink{
		Name: Name(a.Interface), Enabled: true, Protocol: config.Static,
		NTPServers: config.SystemNTP(tree), NTPGrace: ntpGrace,
		Interface: a.Interface, Borrowed: true, FwMark: l.fwMark(filepath.Join(a.Config, "network")),
		Keepalive: keepalive, LinkLocal: config.KeyOnly, LinkPrefix: 128, Mode: config.ModeLayer3,
		Gateways: l.peers,
	}
	return u, l.problems, nil
}

// loader collects the peers of one interface and what is wrong with the others.
type loader struct {
	tree         config.Reader
	file, ifname string
	peers        []peerselector.Peer
	titles       []string // of the peers' sections
	problems     config.Problems
	// How many sections do not count, by reason.
	foreign, disabled, wrong int
}

func (l *loader) readPeers() {
	names, _ := l.tree.GetSections(Package, typePeer)
	for i, name := range names {
		title := config.SectionTitle(name, typePeer, i)
		before := len(l.problems)
		switch ifname, _ := l.tree.Get(Package, name, "ifname"); {
		case !slices.Contains(ifname, l.ifname):
			l.foreign++
			continue
		case !l.enabled(name, title):
			if len(l.problems) == before {
				l.disabled++
				continue
			}
		default:
			p := l.readPeer(name, title)
			if len(l.problems) == before {
				l.add(p, title)
				continue
			}
		}
		l.wrong++
	}
}

// enabled is what the section says; a peer that says nothing is off, as in the original (get_bool of simple-uci).
func (l *loader) enabled(name, title string) bool {
	word, _ := l.one(name, title, "enabled")
	if word == "" {
		return false
	}
	on, allowed, ok := config.ParseBool(word)
	if !ok {
		l.complain(title, "enabled", word, "not valid", allowed)
	}
	return on
}

// readPeer reads an enabled peer; with a new problem it is not to be used.
func (l *loader) readPeer(name, title string) peerselector.Peer {
	p := peerselector.Peer{Name: name}
	if key, ok := l.one(name, title, "public_key"); ok {
		l.set(&p, title, "public_key", key)
	}
	l.set(&p, title, "endpoint", l.values(name, "endpoint")...)
	l.set(&p, title, "allowed_ips", l.values(name, "allowed_ips")...)
	// The first that is one host's is the gateway's own, as far as can be told. Without one nothing inside the tunnel
	// can be asked for signs of life.
	for _, prefix := range p.AllowedIPs {
		if !p.LinkAddress.IsValid() && prefix.IsSingleIP() {
			config.SetGateway(&p, "link_address", prefix.Addr().String())
		}
	}
	p.Keepalive = l.readKeepalive(name, title)
	return p
}

// set reads a required option that means the same as in a gateway section of ours.
func (l *loader) set(p *peerselector.Peer, title, option string, values ...string) {
	if len(values) == 0 {
		values = []string{""}
	}
	for _, v := range values {
		allowed, ok := config.SetGateway(p, option, v)
		switch {
		case v == "":
			l.complain(title, option, v, "missing", allowed)
		case !ok:
			l.complain(title, option, v, "not valid", allowed)
		}
	}
}

// readKeepalive takes what wg(8) takes. Off is 0, the uplink's: our engine needs keepalives to tell which peers are
// alive.
func (l *loader) readKeepalive(name, title string) time.Duration {
	v, _ := l.one(name, title, "persistent_keepalive")
	if v == "" || v == "0" || v == "off" {
		return 0
	}
	var u config.Uplink
	if allowed, ok := config.SetUplink(&u, "keepalive", v); !ok {
		l.complain(title, "persistent_keepalive", v, "not valid", allowed+"; 0 or off for the default")
	}
	return u.Keepalive
}

// add takes a peer. WireGuard knows a peer by its key only, so another section with the same one can add endpoints at
// most.
func (l *loader) add(p peerselector.Peer, title string) {
	for i := range l.peers {
		have := &l.peers[i]
		if have.PublicKey != p.PublicKey {
			continue
		}
		for _, e := range p.Endpoints {
			if !slices.Contains(have.Endpoints, e) {
				have.Endpoints = append(have.Endpoints, e)
			}
		}
		l.complain(title, "public_key", p.PublicKey.String(),
			fmt.Sprintf("also the key of section %q, which is given the endpoints of this one as well", l.titles[i]),
			"one section for each key")
		return
	}
	l.peers, l.titles = append(l.peers, p), append(l.titles, title)
}

// noPeer is the error when no peer is left.
func (l *loader) noPeer() error {
	var why []string
	for _, w := range []struct {
		n    int
		what string
	}{{l.foreign, "of another ifname"}, {l.disabled, "not enabled"}, {l.wrong, "with mistakes"}} {
		if w.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if why == nil {
		why = []string{"there is none at all"}
	}
	const remedy = "add one with option ifname '%s' and option enabled '1'"
	return fmt.Errorf("%s: no peer for interface %q (sections of type %s: %s): "+remedy,
		l.file, l.ifname, typePeer, strings.Join(why, ", "), l.ifname)
}

// fwMark is that of netifd's WireGuard interface, whose name in UCI is the device's. Our own packets need the same.
func (l *loader) fwMark(file string) uint32 {
	if err := l.tree.LoadConfig("network", true); err != nil {
		return gluonMark // netifd has the interface from somewhere else
	}
	values, _ := l.tree.Get("network", l.ifname, "fwmark")
	if len(values) == 0 || values[0] == "" {
		return gluonMark
	}
	v := values[len(values)-1]
	if v == "off" {
		return 0 // wg(8)
	}
	u := config.Uplink{FwMark: gluonMark}
	if allowed, ok := config.SetUplink(&u, "fwmark", v); !ok {
		l.problems = append(l.problems, config.Problem{File: file, Section: l.ifname, Option: "fwmark", Value: v,
			Reason: fmt.Sprintf("not valid, so %d is used", gluonMark), Allowed: allowed})
	}
	return u.FwMark
}

// values are those of an option or list, without empty ones.
func (l *loader) values(name, option string) []string {
	values, _ := l.tree.Get(Package, name, option)
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// one is the value of an option that can have only one; "" when there is none. Several are a problem, and not ok.
func (l *loader) one(name, title, option string) (v string, ok bool) {
	values := l.values(name, option)
	switch len(values) {
	case 0:
		return "", true
	case 1:
		return values[0], true
	}
	l.complain(title, option, values[1], "a second value, but only one can be", "one value")
	return "", false
}

func (l *loader) complain(section, option, value, reason, allowed string) {
	l.problems = append(l.problems, config.Problem{
		File: l.file, Section: section, Option: option, Value: value, Reason: reason, Allowed: allowed,
	})
}
