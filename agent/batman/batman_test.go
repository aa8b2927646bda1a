package batman

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	library "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// request is one as the kernel sees it.
type request struct {
	command byte
	flags   uint16
	data    []byte // its attributes
}

// fake is a kernel that answers each request with messages, written by the library, as told.
type fake struct {
	*testing.T
	family netlink.Family
	answer func(request) ([][]byte, error)
}

func (f fake) Close() {}

func (f fake) Family(name string) (netlink.Family, error) {
	if name != "batadv" || f.family.ID == 0 {
		return netlink.Family{}, fmt.Errorf("netlink family %s: %w", name, os.ErrNotExist)
	}
	return f.family, nil
}

func (f fake) Each(r *netlink.Request, kind uint16, take func([]byte)) error {
	if r.Kind != f.family.ID || kind != 0 && kind != f.family.ID || len(r.Data) < 4 || r.Data[1] != f.family.Version {
		f.Errorf("a request of kind %d with header %x, and answers of kind %d; the family is %v", r.Kind, r.Data, kind,
			f.family)
	}
	all, err := f.answer(request{r.Data[0], r.Flags, r.Data[4:]})
	for _, m := range all {
		take(append([]byte{r.Data[0], f.family.Version, 0, 0}, m...))
		clear(m) // the client must not keep it
	}
	return err
}

// dial gives a client of a kernel that answers each request as told.
func dial(t *testing.T, answer func(request) ([][]byte, error)) *Client {
	t.Helper()
	c, err := newClient(fake{t, netlink.Family{ID: 31, Version: 1}, answer})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func attrs(t *testing.T, f func(*library.AttributeEncoder)) []byte {
	t.Helper()
	e := library.NewAttributeEncoder()
	f(e)
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asked reads the numbers of a request.
func asked(t *testing.T, r request) map[uint16]uint32 {
	t.Helper()
	d, err := library.NewAttributeDecoder(r.data)
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
	c := dial(t, func(r request) ([][]byte, error) {
		if r.command != cmdGetNeighbours || r.flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
			t.Errorf("request %d with flags %v, want a dump of neighbours", r.command, r.flags)
		}
		if diff := cmp.Diff(map[uint16]uint32{attrMeshIfindex: 5, attrHardIfindex: 7}, asked(t, r)); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		neighbour := func(mac net.HardwareAddr, hard uint32) []byte {
			return attrs(t, func(e *library.AttributeEncoder) {
				e.Bytes(attrNeighAddress, mac)
				e.Uint32(attrHardIfindex, hard)
				e.Uint32(attrLastSeenMsecs, 1500)
				e.Uint32(attrThroughput, 25000)
			})
		}
		// Kernels older than the filter answer with those of all hard-interfaces.
		return [][]byte{neighbour(mac1, 7), neighbour(mac2, 8)}, nil
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

func TestAlgorithm(t *testing.T) {
	failed := errors.New("no such device")
	for name, tt := range map[string]struct {
		says []string
		err  error
		want string // of the error, or of the algorithm
	}{
		"BATMAN_IV": {[]string{"BATMAN_IV\x00"}, nil, "BATMAN_IV"},
		"BATMAN_V":  {[]string{"BATMAN_V\x00"}, nil, V},
		"not told":  {nil, nil, "batman-adv: read algorithm: the kernel does not tell it"},
		"refused":   {nil, failed, "batman-adv: read algorithm: no such device"},
	} {
		c := dial(t, func(r request) (all [][]byte, err error) {
			if r.command != cmdGetMesh || r.flags&unix.NLM_F_DUMP != 0 {
				t.Errorf("%s: request %d with flags %v", name, r.command, r.flags)
			}
			if diff := cmp.Diff(map[uint16]uint32{attrMeshIfindex: 5}, asked(t, r)); diff != "" {
				t.Errorf("%s: request (-want +got):\n%s", name, diff)
			}
			for _, s := range tt.says {
				all = append(all, attrs(t, func(e *library.AttributeEncoder) { e.Bytes(attrAlgoName, []byte(s)) }))
			}
			return all, tt.err
		})
		got, err := c.Algorithm(5)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		c.Close()
	}
}

// A family that cannot be asked for is not one that is missing.
func TestFamilyFails(t *testing.T) {
	failed := errors.New("no buffer space")
	if _, err := newClient(deaf{failed}); !errors.Is(err, failed) || errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// deaf is a kernel that answers no question for a family.
type deaf struct{ err error }

func (d deaf) Family(string) (netlink.Family, error)             { return netlink.Family{}, d.err }
func (d deaf) Each(*netlink.Request, uint16, func([]byte)) error { return d.err }
func (d deaf) Close()                                            {}

func TestOriginators(t *testing.T) {
	c := dial(t, func(r request) ([][]byte, error) {
		if r.command != cmdGetOriginators {
			t.Errorf("request %d, want originators", r.command)
		}
		return [][]byte{
			attrs(t, func(e *library.AttributeEncoder) {
				e.Bytes(attrOrigAddress, mac2)
				e.Bytes(attrNeighAddress, mac1)
				e.Uint32(attrHardIfindex, 7)
				e.Uint8(attrTQ, 251)
				e.Uint32(attrLastSeenMsecs, 20)
				e.Flag(attrFlagBest, true)
			}),
			attrs(t, func(e *library.AttributeEncoder) {
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
	c := dial(t, func(r request) ([][]byte, error) {
		if r.command != cmdGetHardif {
			t.Errorf("request %d, want the hard-interface", r.command)
		}
		return [][]byte{attrs(t, func(e *library.AttributeEncoder) {
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
	c := dial(t, func(r request) ([][]byte, error) {
		if r.command != cmdSetHardif {
			t.Errorf("request %d with flags %v, want a setting", r.command, r.flags)
		}
		got = append(got, asked(t, r))
		return nil, nil
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
	if _, err := newClient(fake{T: t}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a kernel without batman-adv gives %v, want os.ErrNotExist", err)
	}
}

func TestRefused(t *testing.T) {
	c := dial(t, func(request) ([][]byte, error) {
		return nil, unix.ENODEV
	})
	_, err := c.Neighbours(5, 7)
	if set := c.SetHopPenalty(5, 7, 1); !errors.Is(err, unix.ENODEV) || !errors.Is(set, unix.ENODEV) {
		t.Errorf("the kernel's ENODEV becomes %v and %v", err, set)
	}
}

// A list that changes while it is read is taken as it is.
func TestInterrupted(t *testing.T) {
	c := dial(t, func(request) ([][]byte, error) {
		return [][]byte{attrs(t, func(e *library.AttributeEncoder) {
			e.Bytes(attrOrigAddress, mac1)
		})}, netlink.ErrDumpInterrupted
	})
	if all, err := c.Originators(5); err != nil || len(all) != 1 {
		t.Errorf("%d originators, %v, want one", len(all), err)
	}
}
