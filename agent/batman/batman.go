// Package batman reads and sets what batman-adv tells by generic netlink: neighbours and originators, and of a
// hard-interface its throughput override and its hop penalty.
package batman

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// V is the routing algorithm that knows throughputs; the other is BATMAN_IV.
const V = "BATMAN_V"

// Neighbour is a host heard on a hard-interface.
type Neighbour struct {
	Address    net.HardwareAddr
	LastSeen   time.Duration // ago
	Throughput uint32        // kbit/s; BATMAN_V only
}

// Originator is one way to a host of the mesh.
type Originator struct {
	Address    net.HardwareAddr
	NextHop    net.HardwareAddr
	Hard       int // index of the hard-interface
	LastSeen   time.Duration
	Best       bool   // the way in use
	Quality    uint8  // TQ of 255; BATMAN_IV only
	Throughput uint32 // kbit/s; BATMAN_V only
}

// Hard is what a hard-interface is set to.
type Hard struct {
	Throughput uint32 // kbit/s; 0: batman-adv estimates it. BATMAN_V only
	HopPenalty uint8  // of 255
}

// kernel is the socket to it.
type kernel interface {
	Family(name string) (netlink.Family, error)
	Each(r *netlink.Request, kind uint16, f func(m []byte)) error
	Close()
}

// Client talks to batman-adv in the network namespace in which it was opened. It is safe for concurrent use.
type Client struct {
	kernel kernel
	family netlink.Family
}

// Open connects to batman-adv. The error is os.ErrNotExist when the kernel has none, or has not loaded it.
func Open() (*Client, error) {
	h, err := netlink.NewGenericHandle()
	if err != nil {
		return nil, fmt.Errorf("batman-adv: %w", err)
	}
	client, err := newClient(h)
	if err != nil {
		h.Close()
		return nil, err
	}
	return client, nil
}

func newClient(k kernel) (*Client, error) {
	f, err := k.Family(family)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the kernel has no batman-adv: %w", os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("batman-adv: %w", err)
	}
	return &Client{kernel: k, family: f}, nil
}

// Close gives the socket back.
func (c *Client) Close() { c.kernel.Close() }

// Algorithm is the routing algorithm of the mesh interface with that index: BATMAN_IV or BATMAN_V.
func (c *Client) Algorithm(mesh int) (string, error) {
	var name string
	err := c.each("read algorithm", cmdGetMesh, 0, mesh, 0, func(kind uint16, v []byte) {
		if kind == attrAlgoName {
			name = strings.TrimRight(string(v), "\x00")
		}
	}, nil)
	if err == nil && name == "" {
		err = errors.New("batman-adv: read algorithm: the kernel does not tell it")
	}
	return name, err
}

// Neighbours lists the hosts heard on one hard-interface.
func (c *Client) Neighbours(mesh, hard int) ([]Neighbour, error) {
	var all []Neighbour
	var n Neighbour
	on := 0
	err := c.each("list neighbours", cmdGetNeighbours, unix.NLM_F_DUMP, mesh, hard, func(kind uint16, v []byte) {
		switch kind {
		case attrNeighAddress:
			n.Address = slices.Clone(v)
		case attrHardIfindex:
			on = netlink.Number(v)
		case attrLastSeenMsecs:
			n.LastSeen = time.Duration(uint32(netlink.Number(v))) * time.Millisecond
		case attrThroughput:
			n.Throughput = uint32(netlink.Number(v))
		}
	}, func() {
		if on == hard && len(n.Address) > 0 {
			all = append(all, n)
		}
		n, on = Neighbour{}, 0
	})
	return all, err
}

// Originators lists all ways to all hosts of a mesh.
func (c *Client) Originators(mesh int) ([]Originator, error) {
	var all []Originator
	var o Originator
	err := c.each("list originators", cmdGetOriginators, unix.NLM_F_DUMP, mesh, 0, func(kind uint16, v []byte) {
		switch kind {
		case attrOrigAddress:
			o.Address = slices.Clone(v)
		case attrNeighAddress:
			o.NextHop = slices.Clone(v)
		case attrHardIfindex:
			o.Hard = netlink.Number(v)
		case attrLastSeenMsecs:
			o.LastSeen = time.Duration(uint32(netlink.Number(v))) * time.Millisecond
		case attrFlagBest:
			o.Best = true
		case attrTQ:
			o.Quality = first(v)
		case attrThroughput:
			o.Throughput = uint32(netlink.Number(v))
		}
	}, func() {
		if len(o.Address) > 0 {
			all = append(all, o)
		}
		o = Originator{}
	})
	return all, err
}

// Hard reads a hard-interface.
func (c *Client) Hard(mesh, hard int) (h Hard, err error) {
	err = c.each("read hard-interface", cmdGetHardif, 0, mesh, hard, func(kind uint16, v []byte) {
		switch kind {
		case attrThroughputOverride:
			h.Throughput = uint32(netlink.Number(v)) * unit
		case attrHopPenalty:
			h.HopPenalty = first(v)
		}
	}, nil)
	return h, err
}

// SetThroughput sets the throughput that BATMAN_V takes a hard-interface to have, in kbit/s, rounded to steps of 100
// and at least one; 0 lets batman-adv estimate it.
func (c *Client) SetThroughput(mesh, hard int, kbits uint32) error {
	return c.set("set throughput", mesh, hard, func(r *netlink.Request) {
		r.Uint32(attrThroughputOverride, Steps(kbits))
	})
}

// Steps is a throughput in kbit/s as batman-adv keeps it: in steps of 100 kbit/s.
func Steps(kbits uint32) uint32 {
	if kbits == 0 {
		return 0
	}
	return max(1, kbits/unit+kbits%unit/(unit/2))
}

// SetHopPenalty sets the hop penalty of a hard-interface, of 255. Kernels before 5.9 have it only for the whole mesh,
// and take no notice.
func (c *Client) SetHopPenalty(mesh, hard int, penalty uint8) error {
	return c.set("set hop penalty", mesh, hard, func(r *netlink.Request) { r.Attr(attrHopPenalty, []byte{penalty}) })
}

func (c *Client) set(what string, mesh, hard int, put func(*netlink.Request)) error {
	r := c.request(cmdSetHardif, 0, mesh, hard)
	put(r)
	if err := c.kernel.Each(r, 0, func([]byte) {}); err != nil {
		return fmt.Errorf("batman-adv: %s: %w", what, err)
	}
	return nil
}

// each runs a request, and calls attr for each attribute and end after each message of the answer. attr must not keep
// what it is given.
func (c *Client) each(what string, cmd uint8, flags, mesh, hard int, attr func(kind uint16, v []byte),
	end func()) error {
	err := c.kernel.Each(c.request(cmd, flags, mesh, hard), c.family.ID, func(m []byte) {
		netlink.GenericAttributes(m, attr)
		if end != nil {
			end()
		}
	})
	// A list that changed while the kernel wrote it may lack an entry that came or went. The next one has it.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("batman-adv: %s: %w", what, err)
	}
	return nil
}

func (c *Client) request(cmd uint8, flags, mesh, hard int) *netlink.Request {
	r := netlink.NewGenericRequest(c.family, cmd, flags)
	r.Uint32(attrMeshIfindex, uint32(mesh))
	if hard != 0 {
		r.Uint32(attrHardIfindex, uint32(hard))
	}
	return r
}

// first is the first byte of an attribute; 0 when it has none.
func first(v []byte) byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}
