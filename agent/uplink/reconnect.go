package uplink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"wguplink/peerselector"
)

// Outcome is what became of a wish for another gateway.
type Outcome struct {
	Gateway string // the one in use now
	Changed bool   // it is another than before
}

// wish is a request for another gateway that waits for its Outcome.
type wish struct {
	before, want peerselector.Key // want is zero for any other
	wanted       string
	done         chan<- result
	gone         <-chan struct{}
}

type result struct {
	Outcome
	err error
}

// ErrUnknownGateway says that there is no gateway of that name.
var ErrUnknownGateway = errors.New("no such gateway")

// wishes are the requests that wait.
type wishes []wish

// named finds a gateway by its name or its public key.
func named(all []peerselector.Peer, gateway string) (peerselector.Peer, error) {
	var names []string
	for _, p := range all {
		if p.Name == gateway || p.PublicKey.String() == gateway {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return peerselector.Peer{}, fmt.Errorf("%w %.60q; known are: %s", ErrUnknownGateway, gateway, strings.Join(names,
		", "))
}

// add takes a request; the event has the engine try it. ok is false when the request has been refused.
func (w *wishes) add(r reconnect, e *peerselector.Engine) (ev peerselector.Reconnect, ok bool) {
	asked := wish{wanted: r.gateway, done: r.done, gone: r.gone}
	if r.gateway != "" {
		p, err := named(e.Peers(), r.gateway)
		if err != nil {
			r.done <- result{err: err}
			return ev, false
		}
		asked.want = p.PublicKey
	}
	if cur, ok := e.Current(); ok {
		asked.before = cur.PublicKey
	}
	*w = append(slices.DeleteFunc(*w, wish.dropped), asked)
	return peerselector.Reconnect{Key: asked.want}, true
}

// dropped says that nothing waits for the outcome any more.
func (w wish) dropped() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// answer tells those who wait how it ended, once it has.
func (w *wishes) answer(e *peerselector.Engine) {
	cur, ok := e.Current()
	if len(*w) == 0 || !ok || e.State() == peerselector.Switching {
		return
	}
	for _, asked := range *w {
		r := result{Outcome: Outcome{Gateway: cur.Name, Changed: cur.PublicKey != asked.before}}
		switch {
		case asked.want != peerselector.Key{} && asked.want != cur.PublicKey:
			r.err = fmt.Errorf("reconnect: %s did not answer; in use is %s", asked.wanted, cur.Name)
		case asked.want == peerselector.Key{} && !r.Changed && len(e.Peers()) > 1:
			r.err = fmt.Errorf("reconnect: no other gateway answered; in use is %s", cur.Name)
		}
		asked.done <- r
	}
	*w = nil
}
