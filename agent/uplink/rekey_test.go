//go:build go1.25

package uplink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/network"
	"wguplink/agent/registration"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// strict makes a gateway know only the keys that are learned.
func (w *world) strict(p peerselector.Peer) (learn func(wgtypes.Key)) {
	known := map[wgtypes.Key]bool{}
	g := w.at(p.Endpoints[0])
	w.with(func() { g.knows = func(k wgtypes.Key) bool { return known[k] } })
	return func(k wgtypes.Key) { w.with(func() { known[k] = true }) }
}

// private is the key on the device of the tunnel; beside is that on the device beside, the zero Key when there is none.
func (w *world) private() (private, beside wgtypes.Key) {
	for _, d := range w.last().Devices {
		if d.Interface == network.Beside("wg_mesh") {
			beside = *d.PrivateKey
		} else {
			private = *d.PrivateKey
		}
	}
	return private, beside
}

// rekeyed gives the uplink another key.
func rekeyed(w *world, u *Uplink, cfg config.Uplink) config.Uplink {
	cfg.KeyFile += "-next"
	w.reload(u, cfg)
	synctest.Wait()
	return cfg
}

// steady says that the tunnel was connected all the time since a moment.
func steady(t *testing.T, w *world, from int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.states[from:] {
		if s.State != status.Connected {
			t.Errorf("it was %v, %v: %s", s.State, s.Cause, s.Reason)
		}
	}
}

// A key that the gateway does not know costs nothing, and counts as soon as it does.
func TestKeyWaits(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		old, _ := w.private()
		was := u.Snapshot().PublicKey
		learn := w.strict(peer(1))
		learn(old)
		from := w.published()
		rekeyed(w, u, w.uplink(peer(1)))
		time.Sleep(10 * time.Minute)
		private, next := w.private()
		if s := u.Snapshot(); private != old || s.PublicKey != was || len(s.Warnings) != 1 ||
			!strings.Contains(s.Warnings[0], "the new key "+next.PublicKey().String()+
				" is not in use yet: gw1 has not answered it") {
			t.Errorf("%+v", s)
		}
		learn(next)
		shakeBeside(w)
		wait(t, 15*time.Second, "the new key",
			func() bool { return u.Snapshot().PublicKey == next.PublicKey().String() })
		time.Sleep(time.Second)
		if private, beside := w.private(); private != next || beside != (wgtypes.Key{}) {
			t.Errorf("on the device is %v, beside it %v", private.PublicKey(), beside.PublicKey())
		}
		if s := u.Snapshot(); len(s.Warnings) != 0 || s.Switches != 1 {
			t.Errorf("%+v", s)
		}
		steady(t, w, from)
	})
}

// shakeBeside has WireGuard try again on the device beside, as it does with each keepalive.
func shakeBeside(w *world) {
	w.mu.Lock()
	d := w.devices[network.Beside("wg_mesh")]
	k := d.Peers[0].PublicKey
	w.mu.Unlock()
	w.shake(d, k)
}

// A key goes onto the device only when the servers have taken it, however long that takes.
func TestKeyRegisteredFirst(t *testing.T) {
	err := error(&broker.Error{Kind: broker.Refused, Broker: "https://broker", Err: errors.New("not this one")})
	var first peerselector.Key
	simulate(t, func(w *world) config.Uplink {
		w.registrar = func(_ context.Context, s registration.Source) (answer, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if first == (peerselector.Key{}) {
				first = s.Key
			}
			if s.Key != first && err != nil {
				return answer{}, err
			}
			return answer{Broker: "https://broker", API: "v2", Peers: []peerselector.Peer{peer(1)}}, nil
		}
		w.at(peer(1).Endpoints[0])
		return registers(w)
	}, func(w *world, u *Uplink) {
		connected(t, u, time.Minute)
		old, _ := w.private()
		from := w.published()
		rekeyed(w, u, registers(w))
		time.Sleep(30 * time.Minute)
		if private, beside := w.private(); private != old || beside != (wgtypes.Key{}) {
			t.Error("a key that is not registered is tried")
		}
		if s := u.Snapshot(); len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "not this one") {
			t.Errorf("%+v", s)
		}
		if n := len(w.sources()); n < 3 || n > 20 {
			t.Errorf("asked %d times in half an hour", n)
		}
		w.with(func() { err = nil })
		wait(t, 16*time.Minute, "the new key",
			func() bool { return u.Snapshot().PublicKey != old.PublicKey().String() })
		steady(t, w, from)
	})
}

// With a fixed port there can be no device beside.
func TestKeyInPlace(t *testing.T) {
	cfg := func(w *world) config.Uplink {
		u := w.uplink(peer(1))
		u.ListenPort = 51820
		return u
	}
	simulate(t, cfg, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		old, _ := w.private()
		from := w.published()
		rekeyed(w, u, cfg(w))
		time.Sleep(100 * time.Millisecond)
		if private, beside := w.private(); private == old || beside != (wgtypes.Key{}) {
			t.Error("the old key is in use, or there is a device beside")
		}
		steady(t, w, from)
	})
}

// A gateway that drops the first handshakes with a key in place gets more.
func TestKeyInPlaceAgain(t *testing.T) {
	cfg := func(w *world) config.Uplink {
		u := w.uplink(peer(1))
		u.ListenPort = 51820
		return u
	}
	simulate(t, cfg, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		old, _ := w.private()
		learn := w.strict(peer(1))
		learn(old)
		rekeyed(w, u, cfg(w))
		time.Sleep(1500 * time.Millisecond)
		private, _ := w.private()
		learn(private)
		wait(t, 2*time.Second, "a handshake", func() bool {
			d, err := w.Status("wg_mesh")
			return err == nil && !d.Peers[0].LastHandshakeTime.IsZero()
		})
	})
}

// Where no gateway answers the old key any more, the new one is used after a while.
func TestKeyAfterOutage(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		old, _ := w.private()
		learn := w.strict(peer(1))
		learn(old)
		rekeyed(w, u, w.uplink(peer(1)))
		time.Sleep(10 * time.Second)
		_, next := w.private()
		w.kill(peer(1), true)
		time.Sleep(10 * time.Minute)
		w.strict(peer(1))(next) // and the old one no more
		w.kill(peer(1), false)
		connected(t, u, time.Minute)
		if private, _ := w.private(); private != next {
			t.Error("the old key is in use")
		}
	})
}

// A key that is taken back is tried no more.
func TestKeyTakenBack(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		old, _ := w.private()
		learn := w.strict(peer(1))
		learn(old)
		rekeyed(w, u, w.uplink(peer(1)))
		time.Sleep(10 * time.Second)
		w.reload(u, w.uplink(peer(1)))
		time.Sleep(time.Minute)
		if private, beside := w.private(); private != old || beside != (wgtypes.Key{}) ||
			len(u.Snapshot().Warnings) != 0 {
			t.Errorf("%+v", u.Snapshot())
		}
	})
}

// The gateway in use may die while a key waits: the next one is asked for its answer.
func TestKeyWaitsAcrossFailover(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		first := connected(t, u, time.Second)
		old, _ := w.private()
		one, two := peer(1), peer(2)
		if first == two.Name {
			one, two = two, one
		}
		w.strict(one)(old)
		rekeyed(w, u, w.uplink(peer(1), peer(2)))
		time.Sleep(10 * time.Second)
		w.kill(one, true)
		wait(t, 2*time.Minute, "the new key", func() bool {
			s := u.Snapshot()
			return s.Gateway != nil && s.Gateway.Name == two.Name && s.PublicKey != old.PublicKey().String()
		})
	})
}

// The next agent goes on with the key on the device, and the new one waits as before.
func TestKeyWaitsAcrossRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.uplink(peer(1))
		u, end := w.runUntil(cfg)
		connected(t, u, time.Second)
		old, _ := w.private()
		w.strict(peer(1))(old)
		if err := end(ErrLeave); err != nil {
			t.Fatal(err)
		}
		cfg.KeyFile += "-next"
		from := w.published()
		u, end = w.runUntil(cfg)
		time.Sleep(10 * time.Minute)
		private, next := w.private()
		if s := u.Snapshot(); private != old || next == (wgtypes.Key{}) || s.PublicKey != old.PublicKey().String() ||
			len(s.Warnings) != 1 {
			t.Errorf("%+v", s)
		}
		w.strict(peer(1))(next)
		shakeBeside(w)
		wait(t, 15*time.Second, "the new key",
			func() bool { return u.Snapshot().PublicKey == next.PublicKey().String() })
		steady(t, w, from+2) // starting, connecting
		if err := end(context.Canceled); err != nil {
			t.Error(err)
		}
	})
}
