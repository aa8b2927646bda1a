package names

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// refuser answers every question with that response code.
func refuser(t *testing.T, code byte) netip.AddrPort {
	return serveDNS(t, func(m []byte, _ uint16) []byte {
		m[2], m[3] = 0x81, 0x80|code
		return m
	})
}

// serveDNS answers questions with what a function makes of them: it gets header and question alone, and the type asked
// for. nil is no answer.
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
			if binary.BigEndian.Uint16(m[10:]) != 0 {
				t.Errorf("a question with additional records: %x", m)
			}
			if m = answer(m[:end], binary.BigEndian.Uint16(m[end-4:])); m != nil {
				pc.WriteTo(m, from)
			}
		}
	}()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// The one of several name servers that knows the answer gives it, at once.
func TestResolveSeveralServers(t *testing.T) {
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
		got, err := Resolver{Servers: servers}.Lookup(ctx, "gw.example.org")
		cancel()
		if err != nil || len(got) != 2 {
			t.Errorf("%v: %v, %v", servers, got, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	_, err = Resolver{Servers: []netip.AddrPort{refuser(t, serverFailure), closed}}.Lookup(ctx, "gw.example.org")
	var e *Error
	if !errors.As(err, &e) || e.Reason != Refused {
		t.Errorf("all refuse: %v", err)
	}
}

// nameServer answers A with 192.0.2.7, and AAAA with 2001:db8::7 or not at all.
func nameServer(t *testing.T, six bool) netip.AddrPort {
	const typeA, typeAAAA = 1, 28 // RFC 1035, RFC 3596
	data := map[uint16][]byte{typeA: {192, 0, 2, 7}}
	if six {
		data[typeAAAA] = netip.MustParseAddr("2001:db8::7").AsSlice()
	}
	return serveDNS(t, func(m []byte, kind uint16) []byte {
		d := data[kind]
		if d == nil {
			return nil
		}
		m[2], m[3], m[7] = 0x81, 0x80, 1
		m = append(m, 0xc0, 12)
		m = binary.BigEndian.AppendUint16(m, kind)
		m = append(m, 0, 1, 0, 0, 0, 60, 0, byte(len(d)))
		return append(m, d...)
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
