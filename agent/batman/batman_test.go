package batman

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/genetlink/genltest"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dial gives a client of a kernel that answers each request as told.
func dial(t *testing.T, f func(genetlink.Message, netlink.Message) ([]genetlink.Message, error)) *Client {
	t.Helper()
	fam := genetlink.Family{ID: 31, Version: 1, Name: family}
	conn := genltest.Dial(genltest.ServeFamily(fam, func(g genetlink.Message, n netlink.Message) ([]genetlink.Message, error) {
		if n.Header.Type != netlink.HeaderType(fam.ID) {
			t.Errorf("a request to family %d, want %d", n.Header.Type, fam.ID)
		}
		return f(g, n)
	}))
	c, err := newClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return c
}

func attrs(t *testing.T, f func(*netlink.AttributeEncoder)) genetlink.Message {
	t.Helper()
	e := netlink.NewAttributeEncoder()
	f(e)
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return genetlink.Message{Data: b}
}

// asked reads the numbers of a request.
func asked(t *testing.T, m genetlink.Message) map[uint16]uint32 {
	t.Helper()
	d, err := netlink.NewAttributeDecoder(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint16]uint32{}
	for d.Next() {
		if len(d.Bytes()) == 1 {
			got[d.Type()] = uint32(d.Uint8())
		} else {
			got[d.Type()] = d.Uint32()
		}
	}
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

var mac1, mac2 = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}

func TestNeighbours(t *testing.T) {
	c := dial(t, func(g genetlink.Message, n netlink.Message) ([]genetlink.Message, error) {
		if g.Header.Command != cmdGetNeighbours || n.Header.Flags&netlink.Dump != netlink.Dump {
			t.Errorf("request %d with flags %v, want a dump of neighbours", g.Header.Command, n.Header.Flags)
		}
		if diff := cmp.Diff(map[uint16]uint32{attrMeshIfindex: 5, attrHardIfindex: 7}, asked(t, g)); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		neighbour := func(mac net.HardwareAddr, hard uint32) genetlink.Message {
			return attrs(t, func(e *netlink.AttributeEncoder) {
				e.Bytes(attrNeighAddress, mac)
				e.Uint32(attrHardIfindex, hard)
				e.Uint32(attrLastSeenMsecs, 1500)
				e.Uint32(attrThroughput, 25000)
			})
		}
		// Kernels older than the filter answer with those of all hard-interfaces.
		return []genetlink.Message{neighbour(mac1, 7), neighbour(mac2, 8)}, nil
	})
	got, err := c.Neighbours(5, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := []Neighbour{{Address: mac1, LastSeen: 1500 * time.Millisecond, Throughput: 25000}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("neighbours (-want +got):\n%s", diff)
	}
}

func TestOriginators(t *testing.T) {
	c := dial(t, func(g genetlink.Message, _ netlink.Message) ([]genetlink.Message, error) {
		if g.Header.Command != cmdGetOriginators {
			t.Errorf("request %d, want originators", g.Header.Command)
		}
		return []genetlink.Message{
			attrs(t, func(e *netlink.AttributeEncoder) {
				e.Bytes(attrOrigAddress, mac2)
				e.Bytes(attrNeighAddress, mac1)
				e.Uint32(attrHardIfindex, 7)
				e.Uint8(attrTQ, 251)
				e.Uint32(attrLastSeenMsecs, 20)
				e.Flag(attrFlagBest, true)
			}),
			attrs(t, func(e *netlink.AttributeEncoder) {
				e.Bytes(attrOrigAddress, mac2)
				e.Bytes(attrNeighAddress, mac2)
				e.Uint32(attrHardIfindex, 8)
			}),
		}, nil
	})
	got, err := c.Originators(5)
	if err != nil {
		t.Fatal(err)
	}
	want := []Originator{
		{Address: mac2, NextHop: mac1, Hard: 7, LastSeen: 20 * time.Millisecond, Best: true, Quality: 251},
		{Address: mac2, NextHop: mac2, Hard: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("originators (-want +got):\n%s", diff)
	}
}

func TestHard(t *testing.T) {
	c := dial(t, func(g genetlink.Message, _ netlink.Message) ([]genetlink.Message, error) {
		if g.Header.Command != cmdGetHardif {
			t.Errorf("request %d, want the hard-interface", g.Header.Command)
		}
		return []genetlink.Message{attrs(t, func(e *netlink.AttributeEncoder) {
			e.Uint8(attrHopPenalty, 15)
			e.Uint32(attrThroughputOverride, 100)
		})}, nil
	})
	got, err := c.Hard(5, 7)
	if want := (Hard{Throughput: 10000, HopPenalty: 15}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSet(t *testing.T) {
	var got []map[uint16]uint32
	c := dial(t, func(g genetlink.Message, n netlink.Message) ([]genetlink.Message, error) {
		if g.Header.Command != cmdSetHardif || n.Header.Flags&netlink.Acknowledge == 0 {
			t.Errorf("request %d with flags %v, want an acknowledged setting", g.Header.Command, n.Header.Flags)
		}
		got = append(got, asked(t, g))
		return nil, io.EOF // an acknowledgement without a message
	})
	if err := errors.Join(c.SetThroughput(5, 7, 12345), c.SetHopPenalty(5, 7, 30)); err != nil {
		t.Fatal(err)
	}
	want := []map[uint16]uint32{
		{attrMeshIfindex: 5, attrHardIfindex: 7, attrThroughputOverride: 123},
		{attrMeshIfindex: 5, attrHardIfindex: 7, attrHopPenalty: 30},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestSteps(t *testing.T) {
	for kbits, want := range map[uint32]uint32{0: 0, 1: 1, 149: 1, 150: 2, 1000: 10, 4294967295: 42949673} {
		if got := Steps(kbits); got != want {
			t.Errorf("%d kbit/s are %d steps, want %d", kbits, got, want)
		}
	}
}

func TestAbsent(t *testing.T) {
	conn := genltest.Dial(func(genetlink.Message, netlink.Message) ([]genetlink.Message, error) {
		return nil, genltest.Error(int(unix.ENOENT))
	})
	defer conn.Close()
	if _, err := newClient(conn); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a kernel without batman-adv gives %v, want os.ErrNotExist", err)
	}
}

func TestRefused(t *testing.T) {
	c := dial(t, func(genetlink.Message, netlink.Message) ([]genetlink.Message, error) {
		return nil, genltest.Error(int(unix.ENODEV))
	})
	if _, err := c.Neighbours(5, 7); err == nil {
		t.Error("an error of the kernel is not passed on")
	}
}
