package testns

import (
	"context"
	"os"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// WireGuard gives a function that makes a WireGuard device, as tunnel.Spawner does: with wireguard-go inside the test process.
// As with a process of its own the device ends when its link is deleted, and the control socket goes with it; at the end of the
// test both are gone in any case.
func WireGuard(t testing.TB) func(ctx context.Context, ifname string) error {
	return func(_ context.Context, ifname string) error {
		dev, err := tun.CreateTUN(ifname, 1420)
		if err != nil {
			return err
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
