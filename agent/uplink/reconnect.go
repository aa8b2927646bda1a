package uplink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wguplink/agent/status"
	"wguplink/peerselector"
)

// Outcome is what became of a wish for another gateway.
type Outcome struct {
	Gateway string // the one in use now
	Changed bool   // it is another than before
}

// waiter is somebody who waits for an Outcome.
type waiter struct {
	before, want peerselector.Key // want is zero for any other
	wanted       string
	done         chan<- result
}

type result struct {
	Outcome
	err error
}

// ErrUnknownGateway says that there is no gateway of that name.
var ErrUnknownGateway = errors.New("no such gateway")

// Reconnect switches to the gateway with that name or public key, with "" to any other one. The present one is left only when
// the new one has answered. Reconnect returns when that is decided, or when ctx ends; the attempt goes on in that case.
func (u *Uplink) Reconnect(ctx context.Context, gateway string) (Outcome, error) {
	done := make(chan result, 1)
	u.post(ctx, func() { u.reconnect(gateway, done) })
	select {
	case r := <-done:
		return r.Outcome, r.err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("reconnect: not decided yet: %w", context.Cause(ctx))
	}
}

func (u *Uplink) reconnect(gateway string, done chan<- result) {
	w := waiter{wanted: gateway, done: done}
	if gateway != "" {
		p, err := u.named(gateway)
		if err != nil {
			done <- result{err: err}
			return
		}
		w.want = p.PublicKey
	}
	if !u.wan.Up() {
		done <- result{err: fmt.Errorf("reconnect: no way out: %s", u.wan)}
		return
	}
	if cur, ok := u.engine.Current(); ok {
		w.before = cur.PublicKey
	}
	u.waiting = append(u.waiting, w)
	u.handle(peerselector.Reconnect{Key: w.want})
}

// named finds a gateway by its name or its public key.
func (u *Uplink) named(gateway string) (peerselector.Peer, error) {
	var names []string
	for _, p := range u.engine.Peers() {
		if p.Name == gateway || p.PublicKey.String() == gateway {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return peerselector.Peer{}, fmt.Errorf("%w %.60q; known are: %s", ErrUnknownGateway, gateway, strings.Join(names, ", "))
}

// answerWaiting tells those who wait how it ended, once it has.
func (u *Uplink) answerWaiting() {
	cur, ok := u.engine.Current()
	if len(u.waiting) == 0 || !ok || u.engine.State() == peerselector.Switching {
		return
	}
	for _, w := range u.waiting {
		r := result{Outcome: Outcome{Gateway: cur.Name, Changed: cur.PublicKey != w.before}}
		switch {
		case w.want != peerselector.Key{} && w.want != cur.PublicKey:
			r.err = fmt.Errorf("reconnect: %s did not answer; in use is %s", w.wanted, cur.Name)
		case w.want == peerselector.Key{} && !r.Changed && len(u.engine.Peers()) > 1:
			r.err = fmt.Errorf("reconnect: no other gateway answered; in use is %s", cur.Name)
		}
		w.done <- r
	}
	u.waiting = nil
}

// Snapshot is the last published state; it may be called from any goroutine.
func (u *Uplink) Snapshot() status.Snapshot {
	if s := u.shown.Load(); s != nil {
		return *s
	}
	return status.Snapshot{Uplink: u.o.Config.Name, State: status.Starting, Interface: u.o.Config.Interface}
}
