// Package glue is the daemon at gateways of Gluon's own WireGuard that sees to the way to each node: freifunkh's
// wireguard-vxlan-glue, held against its main branch (netlink.py) by reading. It polls: a fresh handshake carries
// nothing until it has looked, up to ten seconds later.
//
// Left out: its command line and configuration file, and the route protocol of its own (129), by which it finds its
// routes again after a crash. Its forwarding entries name no device; the lab's do, which makes no difference where the
// VXLAN has one device under it.
package glue

import (
	"context"
	"errors"
	"time"

	"wguplink/peerselector"
)

// The original's constants.
const (
	PollEvery   = 10 * time.Second
	established = 3 * time.Minute // the age up to which a handshake counts
)

// Device is a gateway with its peers.
type Device interface {
	// Handshakes gives the time of each peer's last handshake; zero: none yet.
	Handshakes() (map[peerselector.Key]time.Time, error)
	// SetWay adds or removes the route to a node and its flooding entry.
	SetWay(key peerselector.Key, present bool) error
}

// Glue serves one device. Run it once.
type Glue struct {
	d         Device
	poll      time.Duration
	first     time.Duration
	installed map[peerselector.Key]bool
	// OnChange is called after each change, with its error. nil: not wanted.
	OnChange func(key peerselector.Key, present bool, err error)
}

// New returns a glue that looks for the first time after first, and then each poll; 0 is PollEvery. It starts nothing.
func New(d Device, first, poll time.Duration) *Glue {
	if poll == 0 {
		poll = PollEvery
	}
	return &Glue{d: d, first: first, poll: poll, installed: make(map[peerselector.Key]bool)}
}

// Run looks until ctx ends. Then it removes what it added.
func (g *Glue) Run(ctx context.Context) error {
	timer := time.NewTimer(g.first)
	defer timer.Stop()
	var broken error
	for {
		select {
		case <-ctx.Done():
			return errors.Join(broken, g.cleanUp())
		case <-timer.C:
			broken = g.look() // the next look tries again; only the last one's error counts
			timer.Reset(g.poll)
		}
	}
}

// look adds the way to each peer with a fresh handshake, and removes the others'.
func (g *Glue) look() error {
	handshakes, err := g.d.Handshakes()
	if err != nil {
		return err
	}
	var errs []error
	for key, at := range handshakes {
		if fresh := !at.IsZero() && time.Since(at) < established; fresh != g.installed[key] {
			errs = append(errs, g.set(key, fresh))
		}
	}
	return errors.Join(errs...)
}

func (g *Glue) cleanUp() error {
	var errs []error
	for key, there := range g.installed {
		if there {
			errs = append(errs, g.set(key, false))
		}
	}
	return errors.Join(errs...)
}

func (g *Glue) set(key peerselector.Key, present bool) error {
	err := g.d.SetWay(key, present)
	if err == nil {
		g.installed[key] = present
	}
	if g.OnChange != nil {
		g.OnChange(key, present, err)
	}
	return err
}
