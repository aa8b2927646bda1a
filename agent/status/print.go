package status

import (
	"fmt"
	"io"
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
		head += " for " + (time.Duration(s.Seconds) * time.Second).String()
	}
	fmt.Fprintf(w, "%s: %s\n", s.Uplink, head)
	line("why", join(string(s.Cause), s.Reason))
	if g := s.Gateway; g != nil {
		line("gateway", join(g.Name, g.Endpoint))
		line("", g.PublicKey)
		line("link", g.LinkAddress)
		line("handshake", fmt.Sprintf("%ds ago", g.HandshakeAge))
		line("traffic", fmt.Sprintf("%d bytes received, %d sent", g.RxBytes, g.TxBytes))
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
				age = fmt.Sprintf("handshake %ds ago", t.HandshakeAge)
			}
			line("tunnel", join(t.Interface, t.Endpoint, age))
		}
	}
	if b := s.Batman; b != nil {
		heard := "nobody heard"
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
	for _, warning := range s.Warnings {
		line("warning", warning)
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
