package testns

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// ending has a channel for each device's name, closed when the last device of that name is gone.
var ending sync.Map

// WireGuard gives a function that makes a WireGuard device, as tunnel.Spawner does: with wireguard-go inside the test
// process. As with a process of its own the device ends when its link is deleted, and the control socket goes with it;
// at the end of the test both are gone in any case.
func WireGuard(t testing.TB) func(ctx context.Context, ifname, alias string) error {
	return func(ctx context.Context, ifname, alias string) error {
		// The end of an earlier device of that name takes the control socket with it: not ours, please.
		if earlier, ok := ending.Load(ifname); ok {
			select {
			case <-earlier.(chan struct{}):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		dev, err := tun.CreateTUN(ifname, 1420)
		if err != nil {
			return err
		}
		if alias != "" {
			link, err := netlink.LinkByName(ifname)
			if err == nil {
				err = netlink.LinkSetAlias(link, alias)
			}
			if err != nil {
				return err
			}
		}
		d := device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
		file, err := ipc.UAPIOpen(ifname)
		if err != nil {
			return err
		}
		l, err := ipc.UAPIListen(ifname, file)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go d.IpcHandle(c)
			}
		}()
		done := make(chan struct{})
		ending.Store(ifname, done)
		go func() {
			<-d.Wait()
			l.Close()
			os.Remove("/run/wireguard/" + ifname + ".sock")
			close(done)
		}()
		t.Cleanup(func() { d.Close(); <-done })
		return nil
	}
}
