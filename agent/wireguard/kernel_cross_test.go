//go:build cross

package wireguard

import (
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// The virtual machines of `make test-cross` have WireGuard in their kernel; not every machine that runs the other tests
// has.

func makeKernelDevice(t *testing.T, name string) {
	h, err := netlink.NewHandle()
	ok(t, err)
	t.Cleanup(h.Close)
	ok(t, h.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: name}}))
	l, err := h.LinkByName(name)
	ok(t, err)
	t.Cleanup(func() { h.LinkDel(l) })
}

func TestKernel(t *testing.T) {
	makeKernelDevice(t, "wg_ours")
	makeKernelDevice(t, "wg_theirs")
	exchange(t, wgtypes.LinuxKernel, "wg_ours", "wg_theirs")
}

func TestKernelHandshake(t *testing.T) {
	shake(t, func(name string) { makeKernelDevice(t, name) })
}
