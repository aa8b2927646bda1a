// Package batman reads and sets what batman-adv tells by generic netlink: neighbours and originators, and of a
// hard-interface its throughput override and its hop penalty.
package batman

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
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

// Client talks to batman-adv in the network namespace in which it was opened. It is safe for concurrent use.
type Client struct {
	c       *genetlink.Conn
	family  uint16
	version uint8
}

// Open connects to batman-adv. The error is os.ErrNotExist when the kernel has none, or has not loaded it.
func Open() (*Client, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("batman-adv: open netlink: %w", err)
	}
	client, err := newClient(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return client, nil
}

func newClient(c *genetlink.Conn) (*Client, error) {
	f, err := c.GetFamily(family)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the kernel has no batman-adv: %w", os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("batman-adv: look up netlink family: %w", err)
	}
	return &Client{c: c, family: f.ID, version: f.Version}, nil
}

// Close gives the socket back.
func (c *Client) Close() error { return c.c.Close() }

// Algorithm is the routing algorithm of the mesh interface with that index: BATMAN_IV or BATMAN_V.
func (c *Client) Algorithm(mesh int) (string, error) {
	var name string
	err := c.each("read algorithm", cmdGetMesh, 0, mesh, 0, func(d *netlink.AttributeDecoder) {
		if d.Type() == attrAlgoName {
			name = d.String()
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
	err := c.each("list neighbours", cmdGetNeighbours, netlink.Dump, mesh, hard, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case attrNeighAddress:
			n.Address = d.Bytes()
		case attrHardIfindex:
			on = int(d.Uint32())
		case attrLastSeenMsecs:
			n.LastSeen = time.Duration(d.Uint32()) * time.Millisecond
		case attrThroughput:
			n.Throughput = d.Uint32()
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
	err := c.each("list originators", cmdGetOriginators, netlink.Dump, mesh, 0, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case attrOrigAddress:
			o.Address = d.Bytes()
		case attrNeighAddress:
			o.NextHop = d.Bytes()
		case attrHardIfindex:
			o.Hard = int(d.Uint32())
		case attrLastSeenMsecs:
			o.LastSeen = time.Duration(d.Uint32()) * time.Millisecond
		case attrFlagBest:
			o.Best = true
		case attrTQ:
			o.Quality = d.Uint8()
		case attrThroughput:
			o.Throughput = d.Uint32()
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
	err = c.each("read hard-interface", cmdGetHardif, 0, mesh, hard, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case attrThroughputOverride:
			h.Throughput = d.Uint32() * unit
		case attrHopPenalty:
			h.HopPenalty = d.Uint8()
		}
	}, nil)
	return h, err
}

// SetThroughput sets the throughput that BATMAN_V takes a hard-interface to have, in kbit/s, rounded to steps of 100 and at
// least one; 0 lets batman-adv estimate it.
func (c *Client) SetThroughput(mesh, hard int, kbits uint32) error {
	return c.set("set throughput", mesh, hard, func(e *netlink.AttributeEncoder) {
		e.Uint32(attrThroughputOverride, Steps(kbits))
	})
}

// Steps is a throughput in kbit/s as batman-adv keeps it: in steps of 100 kbit/s.
func Steps(kbits uint32) uint32 {
	if kbits == 0 {
		return 0
	}
	return max(1, kbits/unit+kbits%unit/(unit/2))
}

// SetHopPenalty sets the hop penalty of a hard-interface, of 255. Kernels before 5.9 have it only for the whole mesh, and take
// no notice.
func (c *Client) SetHopPenalty(mesh, hard int, penalty uint8) error {
	return c.set("set hop penalty", mesh, hard, func(e *netlink.AttributeEncoder) { e.Uint8(attrHopPenalty, penalty) })
}

func (c *Client) set(what string, mesh, hard int, attrs func(*netlink.AttributeEncoder)) error {
	_, err := c.execute(what, cmdSetHardif, netlink.Acknowledge, mesh, hard, attrs)
	return err
}

// each runs a request, and calls attr for each attribute and end after each message of the answer.
func (c *Client) each(what string, cmd uint8, flags netlink.HeaderFlags, mesh, hard int, attr func(*netlink.AttributeDecoder), end func()) error {
	msgs, err := c.execute(what, cmd, flags, mesh, hard, nil)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		d, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return fmt.Errorf("batman-adv: %s: %w", what, err)
		}
		for d.Next() {
			attr(d)
		}
		if err := d.Err(); err != nil {
			return fmt.Errorf("batman-adv: %s: %w", what, err)
		}
		if end != nil {
			end()
		}
	}
	return nil
}

func (c *Client) execute(what string, cmd uint8, flags netlink.HeaderFlags, mesh, hard int, attrs func(*netlink.AttributeEncoder)) ([]genetlink.Message, error) {
	e := netlink.NewAttributeEncoder()
	e.Uint32(attrMeshIfindex, uint32(mesh))
	if hard != 0 {
		e.Uint32(attrHardIfindex, uint32(hard))
	}
	if attrs != nil {
		attrs(e)
	}
	data, err := e.Encode()
	if err != nil {
		return nil, fmt.Errorf("batman-adv: %s: %w", what, err)
	}
	m := genetlink.Message{Header: genetlink.Header{Command: cmd, Version: c.version}, Data: data}
	msgs, err := c.c.Execute(m, c.family, netlink.Request|flags)
	if err != nil {
		return nil, fmt.Errorf("batman-adv: %s: %w", what, err)
	}
	return msgs, nil
}
