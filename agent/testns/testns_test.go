package testns

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
)

// Inside no link is up, and /run has nothing of the machine's.
func TestInside(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		// The kernel makes some tunnel devices in each namespace, down.
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("%s is up", i.Name)
		}
	}
	entries, err := os.ReadDir("/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "wireguard" { // the other test's
			t.Errorf("/run has %s", e.Name())
		}
	}
}

// A device has its name, alias and socket, and ends with its link. One of the same name can then be made again.
func TestWireGuard(t *testing.T) {
	const socket = "/run/wireguard/wg0.sock"
	t.Run("a test", func(t *testing.T) {
		spawn := WireGuard(t)
		if err := spawn(context.Background(), "a-name-that-is-too-long", ""); err == nil {
			t.Error("a device with a name that no link can have")
		}
		for _, alias := range []string{"ours", ""} {
			if err := spawn(context.Background(), "wg0", alias); err != nil {
				t.Fatal(err)
			}
			link, err := netlink.LinkByName("wg0")
			if err != nil {
				t.Fatal(err)
			}
			if link.Attrs().Alias != alias || link.Attrs().MTU != 1420 {
				t.Errorf("alias %q, MTU %d", link.Attrs().Alias, link.Attrs().MTU)
			}
			c, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if alias == "" {
				return // the end of the test takes this one away
			}
			// A device that is not there yet is waited for no longer than the context lasts.
			ended, cancel := context.WithCancelCause(context.Background())
			why := errors.New("enough")
			cancel(why)
			if err := spawn(ended, "wg0", ""); err != why {
				t.Errorf("while one of that name is there: %v", err)
			}
			if err := netlink.LinkDel(link); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, err := netlink.LinkByName("wg0"); !errors.As(err, new(netlink.LinkNotFoundError)) {
		t.Errorf("after the test: %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the test: %v", err)
	}
}
