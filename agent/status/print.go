package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Print writes the snapshot for people, one fact a line.
func Print(w io.Writer, s Snapshot) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-11s %s\n", name, value)
		}
	}
	head := string(s.State)
	if s.State != Stopped {
		head += " for " + Age(s.Seconds, 2)
	}
	fmt.Fprintf(w, "%s: %s\n", s.Uplink, head)
	line("why", join(string(s.Cause), s.Reason))
	if g := s.Gateway; g != nil {
		line("gateway", join(g.Name, g.Endpoint))
		line("", g.PublicKey)
		line("link", g.LinkAddress)
		if g.HandshakeAt != 0 {
			line("handshake", Ago(g.HandshakeAge))
		}
		line("traffic", Bytes(g.RxBytes)+" received, "+Bytes(g.TxBytes)+" sent")
	}
	device := s.Interface
	if s.Backend != "" {
		device += fmt.Sprintf(" (%s), MTU %d", s.Backend, s.MTU)
	}
	line("wireguard", device)
	if s.VXLAN != "" {
		line("vxlan", fmt.Sprintf("%s, MTU %d", s.VXLAN, s.VXLANMTU))
	}
	if n := s.Network; n != nil {
		line("node", fmt.Sprintf("id %s, %s, %s", n.ID, n.Address4, n.Address6))
		line("clients", strings.TrimSuffix(n.Range4+", "+n.Range6+", "+n.XLATRange6, ", "))
		out := "none: no tunnel is alive"
		if n.Exit != "" {
			out = "by " + n.Exit
		}
		line("routes", out)
		for _, t := range n.Tunnels {
			age := "no handshake"
			if t.HandshakeAt != 0 {
				age = "handshake " + Ago(t.HandshakeAge)
			}
			line("tunnel", join(t.Interface, t.Endpoint, age))
		}
	}
	if b := s.Batman; b != nil {
		heard := "no neighbour heard"
		if len(b.Neighbours) > 0 {
			heard = "hears " + strings.Join(b.Neighbours, ", ")
		}
		line("batman", fmt.Sprintf("%s (%s), %s", b.Interface, b.Algorithm, heard))
	}
	line("wan", s.WAN)
	line("clock", s.Clock)
	line("broker", s.Broker)
	line("public key", s.PublicKey)
	for _, h := range s.Hooks {
		line("hook", join(h.Name+" "+h.Event, "exit "+h.Exit, h.Last))
	}
	if s.Stranded {
		line("stranded", "no tunnel since the firmware was updated, for as long as option update_watchdog allows")
	}
	for _, warning := range s.Warnings {
		line("warning", warning)
	}
	printGateways(w, s.Gateways)
	if len(s.Changes) > 0 {
		fmt.Fprintln(w, "  last changes")
	}
	for _, c := range slices.Backward(s.Changes) {
		fmt.Fprintf(w, "    %-28s  %s\n", Ago(c.Age), c)
	}
}

// String says what has changed.
func (c Change) String() string {
	head := string(c.State)
	if c.Gateway != "" {
		head += " (" + c.Gateway + ")"
	}
	return join(head, string(c.Cause), c.Reason)
}

// printGateways writes a table, one gateway a line.
func printGateways(w io.Writer, all []Candidate) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "  gateways")
	name := 4
	for _, g := range all {
		name = max(name, len(g.Name))
	}
	for _, g := range all {
		mark, result, rtt, tried := " ", string(g.Result), "-", "never tried"
		if g.InUse {
			mark = "*"
		}
		if g.RTT != 0 {
			rtt = Trip(time.Duration(g.RTT) * time.Microsecond)
		}
		if g.TriedAt != 0 {
			tried = "tried " + Ago(g.TriedAge)
		}
		fmt.Fprintf(w, "  %s %-*s  %-12s  %7s  %-35s  %s\n", mark, name, g.Name, result, rtt, tried,
			join(g.Endpoint, g.Reason))
	}
}

func join(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ": ")
}
