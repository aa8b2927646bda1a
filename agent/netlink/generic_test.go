package netlink_test

import (
	"errors"
	"os"
	"testing"

	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// Families are looked up as the library does.
func TestFamily(t *testing.T) {
	h, err := netlink.NewGenericHandle()
	ok(t, err)
	t.Cleanup(h.Close)
	c, err := genetlink.Dial(nil)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	all, err := c.ListFamilies()
	ok(t, err)
	if len(all) == 0 {
		t.Fatal("the library lists no family")
	}
	for _, want := range all {
		f, err := h.Family(want.Name)
		ok(t, err)
		if f.ID != want.ID || f.Version != want.Version {
			t.Errorf("%s: %+v, the library has %+v", want.Name, f, want)
		}
	}
	dumped := 0
	r := netlink.NewGenericRequest(netlink.Family{ID: unix.GENL_ID_CTRL, Version: 1}, unix.CTRL_CMD_GETFAMILY,
		unix.NLM_F_DUMP)
	ok(t, h.Each(r, unix.GENL_ID_CTRL, func([]byte) { dumped++ }))
	if dumped != len(all) {
		t.Errorf("%d families are listed, the library lists %d", dumped, len(all))
	}
	for _, name := range []string{"", "wguplink-none", "longer than a family can be called"} {
		if f, err := h.Family(name); err == nil || f != (netlink.Family{}) {
			t.Errorf("family %q: %+v, %v", name, f, err)
		}
	}
	if _, err := h.Family("wguplink-none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a family that there is not: %v", err)
	}
}
