package wan

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// refuser answers every question with that response code.
func refuser(t *testing.T, code byte) netip.AddrPort {
	return serveDNS(t, func(m []byte, _ uint16) []byte {
		m[2], m[3] = 0x81, 0x80|code
		return m
	})
}

// serveDNS answers questions with what a function makes of them: it gets header and question alone, and the type asked for.
// nil is no answer.
func serveDNS(t *testing.T, answer func(m []byte, kind uint16) []byte) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			m := append([]byte(nil), buf[:n]...)
			end := 12
			for m[end] != 0 {
				end += int(m[end]) + 1
			}
			end += 5
			binary.BigEndian.PutUint16(m[10:], 0) // no EDNS record
			if m = answer(m[:end], binary.BigEndian.Uint16(m[end-4:])); m != nil {
				pc.WriteTo(m, from)
			}
		}
	}()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Whoever of several name servers knows the answer gives it, at once.
func TestResolveSeveralServers(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo))
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok(t, err)
	defer silent.Close()
	dead := silent.LocalAddr().(*net.UDPAddr).AddrPort()
	closed := netip.MustParseAddrPort("127.0.0.1:1")
	const serverFailure, refused = 2, 5
	good, unreachable := nameServer(t, true), netip.MustParseAddrPort("[2001:db8::53]:53")
	for _, servers := range [][]netip.AddrPort{
		{dead, good}, {good, dead}, {closed, good}, {unreachable, good},
		{refuser(t, serverFailure), refuser(t, refused), good}, {dead, closed, refuser(t, refused), good},
	} {
		// Package net itself gives up on a server after 5 s only.
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		got, err := Path{DNS: servers}.Resolve(ctx, "gw.example.org")
		cancel()
		if err != nil || len(got) != 2 {
			t.Errorf("%v: %v, %v", servers, got, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	_, err = Path{DNS: []netip.AddrPort{refuser(t, serverFailure), closed}}.Resolve(ctx, "gw.example.org")
	var d *net.DNSError
	if !errors.As(err, &d) || d.IsNotFound || d.IsTimeout {
		t.Errorf("all refuse: %v", err)
	}
}
