package netlink_test

import (
	"errors"
	"os"
	"testing"

	"github.com/mdlayher/genetlink"

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
	for _, name := range []string{"", "wguplink-none", "longer than a family can be called"} {
		if f, err := h.Family(name); err == nil || f != (netlink.Family{}) {
			t.Errorf("family %q: %+v, %v", name, f, err)
		}
	}
	if _, err := h.Family("wguplink-none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a family that there is not: %v", err)
	}
}
