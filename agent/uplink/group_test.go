//go:build go1.25

package uplink

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/status"
)

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.opts
		o.Clock = clock.Watch(w.sys)
		g := NewGroup(o)
		a := w.uplink(peer(1))
		b := w.uplink(peer(2))
		b.Name, b.Interface, b.KeyFile = "other", "wg_other", a.KeyFile+"b"
		off := a
		off.Name, off.Enabled = "off", false
		changes := make(chan []config.Uplink)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx, []config.Uplink{a, off}, changes) }()
		time.Sleep(time.Second)
		if all := g.Snapshots(); len(all) != 1 || all[0].State != status.Connected {
			t.Errorf("%+v", all)
		}
		if _, err := g.Reconnect(ctx, "", "gw1"); err != nil {
			t.Errorf("reconnect: %v", err)
		}
		a.Keepalive = time.Second
		changes <- []config.Uplink{a, b}
		time.Sleep(time.Second)
		if all := g.Snapshots(); len(all) != 2 || all[1].Uplink != "other" {
			t.Errorf("%+v", all)
		}
		if _, err := g.Reconnect(ctx, "", ""); !errors.Is(err, ErrUnknownUplink) {
			t.Errorf("two uplinks: %v", err)
		}
		g.Refresh("other")
		changes <- []config.Uplink{b}
		synctest.Wait()
		if all := g.Snapshots(); len(all) != 1 || Running(w.opts.RunDir, "mesh") || !Running(w.opts.RunDir, "other") {
			t.Errorf("%+v", all)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// One uplink that fails ends the others, and leaves their tunnels at work.
func TestGroupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := w.opts
		o.Clock = clock.Watch(w.sys)
		a, b := w.uplink(peer(1)), w.uplink(peer(2))
		b.Name = "other"
		open := o.Machine.Open
		o.Machine.Open = func() (Kernel, error) {
			if Running(w.opts.RunDir, "other") {
				return nil, errors.New("no netlink")
			}
			return open()
		}
		g := NewGroup(o)
		changes := make(chan []config.Uplink)
		ended := make(chan error, 1)
		go func() { ended <- g.Run(context.Background(), []config.Uplink{a}, changes) }()
		time.Sleep(time.Second)
		changes <- []config.Uplink{a, b}
		if err := <-ended; err == nil || len(w.removed) > 0 {
			t.Errorf("%v, removed %v", err, w.removed)
		}
	})
}

// A private key goes onto the device as it is.
func TestKeyOnDevice(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		if k := w.last().Devices[0].PrivateKey; k == nil || *k == (wgtypes.Key{}) ||
			k.PublicKey().String() != u.Snapshot().PublicKey {
			t.Error("another key")
		}
	})
}
