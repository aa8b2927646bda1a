package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"wguplink/testbed/netlab"
)

// Layer3Range is what gateways route with Options.Layer3.
var Layer3Range = netip.MustParsePrefix("10.99.0.0/16")

// Layer3Gateway is the address in the tunnel of the ith gateway, counted from 1: the last ones of the range's first 256.
func Layer3Gateway(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(255 - i)}) }

func (w *World) layer3Range() netip.Prefix {
	if w.o.Layer3 {
		return Layer3Range
	}
	return netip.Prefix{}
}

// The addresses of a second node.
var (
	secondV4 = netip.MustParsePrefix("192.0.2.134/30")
	secondV6 = netip.MustParsePrefix("2001:db8:2::2/64")
)

// SecondAgent makes another node beside the world's, with an agent of its own that is not started yet.
func (w *World) SecondAgent(binary, dir, uci string) (*Agent, *netlab.Host, error) {
	h, err := w.Lab.Host("node2")
	if err != nil {
		return nil, nil, err
	}
	if err := w.attach(h, "node2", secondV4, secondV6); err != nil {
		return nil, nil, err
	}
	a, err := w.NewAgent(binary, dir, uci)
	if err != nil {
		return nil, nil, err
	}
	a.host, a.As = h, AsRoot
	return a, h, nil
}

// on is the host that the agent is on.
func (a *Agent) on() *netlab.Host {
	if a.host != nil {
		return a.host
	}
	return a.w.Node
}

// Ping sends echo requests from a host, five a second, until one is answered.
func (w *World) Ping(ctx context.Context, from *netlab.Host, to netip.Addr) error {
	any := netip.IPv4Unspecified()
	if to.Is6() {
		any = netip.IPv6Unspecified()
	}
	return w.PingFrom(ctx, from, any, to)
}

// PingFrom is Ping from an address of the host.
func (w *World) PingFrom(ctx context.Context, from *netlab.Host, own, to netip.Addr) error {
	network, number := "ip4:icmp", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, number, request, reply = "ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	pc, err := from.ListenPacket(ctx, network, own.String())
	if err != nil {
		return err
	}
	defer pc.Close()
	id := 1 + rand.IntN(0xffff)
	answered := make(chan struct{})
	go func() {
		buf := make([]byte, 1500)
		for {
			n, peer, err := pc.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			m, err := icmp.ParseMessage(number, buf[:n])
			if err != nil || m.Type != reply || peer.String() != to.String() {
				continue
			}
			if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
				close(answered)
				return
			}
		}
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for seq := 0; ; seq++ {
		m := icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: seq}}
		b, err := m.Marshal(nil)
		if err != nil {
			return err
		}
		_, _ = pc.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}) // there may be no route yet
		select {
		case <-answered:
			return nil
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no answer from %v: %w", to, context.Cause(ctx))
		}
	}
}
