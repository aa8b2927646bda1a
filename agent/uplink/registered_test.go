//go:build go1.25

package uplink

import (
	"context"
	"errors"
	"testing"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/registration"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

type answer = broker.Answer

// asking is a registrar that answers as the world says. What it has saved it restores.
type asking struct {
	w *world
	s registration.Source
}

func (a asking) Register(ctx context.Context, _ peerselector.Key) (broker.Answer, error) {
	a.w.with(func() { a.w.asked = append(a.w.asked, a.s) })
	return a.w.registrar(ctx, a.s)
}

// sources are those that were asked, in turn.
func (w *world) sources() []registration.Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]registration.Source(nil), w.asked...)
}

func (w *world) err(e *error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *e
}

func (a asking) Restore(saved []byte, _ peerselector.Key) (broker.Answer, error) {
	if string(saved) != "saved" {
		return broker.Answer{}, errors.New("the signature is wrong")
	}
	return a.w.registrar(context.Background(), a.s)
}

func registers(w *world, gateways ...peerselector.Peer) config.Uplink {
	cfg := w.uplink(gateways...)
	cfg.Protocol, cfg.Domain = config.WGKex, "ffxx"
	return cfg
}

func TestRegistration(t *testing.T) {
	var err error = &broker.Error{Kind: broker.Refused, Broker: "https://broker", Err: errors.New("domain unknown")}
	simulate(t, func(w *world) config.Uplink {
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			if err := w.err(&err); err != nil {
				return answer{}, err
			}
			return answer{Broker: "https://broker", API: "v2", Peers: []peerselector.Peer{peer(1)}}, nil
		}
		w.at(peer(1).Endpoints[0])
		return registers(w)
	}, func(w *world, u *Uplink) {
		expect(t, u, time.Second, status.Connecting, status.BrokerRefused)
		w.with(func() { err = errors.New("no route") })
		expect(t, u, 3*time.Minute, status.Connecting, status.BrokerUnreachable)
		w.with(func() { err = nil })
		if got := connected(t, u, 5*time.Minute); got != "gw1" || u.Snapshot().Broker != "https://broker (v2)" {
			t.Errorf("gateway %q, %+v", got, u.Snapshot())
		}
		if n := len(w.sources()); n > 20 {
			t.Errorf("asked %d times", n)
		}
		if !w.logged("registered", "gateways=1") {
			t.Error("the log does not tell of it")
		}
	})
}

// A broker that has become another in the configuration is asked at once, and what the one before answers later counts
// no more.
func TestOtherBroker(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.registrar = func(ctx context.Context, s registration.Source) (answer, error) {
			if s.Location == "" {
				<-ctx.Done()
				return answer{}, ctx.Err()
			}
			return answer{Broker: "b", API: "v1"}, nil
		}
		return registers(w, peer(1))
	}, func(w *world, u *Uplink) {
		time.Sleep(time.Millisecond)
		cfg := registers(w, peer(1))
		cfg.Location = "north"
		w.reload(u, cfg)
		connected(t, u, time.Second)
		if s := w.sources(); len(s) != 2 || s[1].Location != "north" {
			t.Errorf("asked for %+v", s)
		}
		w.reload(u, cfg)
		cfg.Domain = "ffyy" // another network: nothing is kept
		w.reload(u, cfg)
		connected(t, u, 3*time.Second)
		if s := w.sources(); s[len(s)-1].Domain != "ffyy" {
			t.Errorf("asked for %+v", s)
		}
	})
}
