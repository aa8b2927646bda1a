package netlink_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	library "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// disciplines are those of a link that were made, not the kernel's own, as we read them and as the library does.
func disciplines(t *testing.T, h *netlink.Handle, l netlink.Link) (ours, theirs []netlink.Qdisc) {
	t.Helper()
	list, err := h.QdiscList(l)
	ok(t, err)
	for _, q := range list {
		if q.Kind == "tbf" || q.Kind == "clsact" {
			ours = append(ours, *q)
		}
	}
	link, err := library.LinkByName(l.Attrs().Name)
	ok(t, err)
	all, err := library.QdiscList(link)
	ok(t, err)
	for _, q := range all {
		a := q.Attrs()
		is := netlink.Qdisc{LinkIndex: a.LinkIndex, Handle: a.Handle, Parent: a.Parent, Kind: q.Type()}
		switch q := q.(type) {
		case *library.Tbf:
			is.Tbf = &netlink.Tbf{Rate: q.Rate, Limit: q.Limit, Buffer: q.Buffer}
		case *library.Clsact:
		default:
			continue
		}
		theirs = append(theirs, is)
	}
	return ours, theirs
}

// A bucket is added, changed in place and removed, beside a clsact; the second one at a place is refused.
func TestQdiscs(t *testing.T) {
	h := handle(t)
	l := device(t, h, "limited")
	index := l.Attrs().Index
	tbf := func(rate uint64) netlink.Qdisc {
		return netlink.Qdisc{LinkIndex: index, Handle: 1 << 16, Parent: netlink.HANDLE_ROOT, Kind: "tbf",
			Tbf: &netlink.Tbf{Rate: rate, Limit: 30000, Buffer: netlink.Xmittime(rate, 8000)}}
	}
	clsact := netlink.Qdisc{LinkIndex: index, Handle: 0xffff0000, Parent: netlink.HANDLE_INGRESS, Kind: "clsact"}
	want := func(what string, want ...netlink.Qdisc) {
		t.Helper()
		ours, theirs := disciplines(t, h, l)
		if diff := cmp.Diff(want, ours); diff != "" {
			t.Errorf("%s, as we read it (-want +got):\n%s", what, diff)
		}
		if diff := cmp.Diff(want, theirs); diff != "" {
			t.Errorf("%s, as the library reads it (-want +got):\n%s", what, diff)
		}
	}
	slow, fast := tbf(125000), tbf(1250000)
	ok(t, h.QdiscAdd(&slow))
	want("added", slow)
	if err := h.QdiscAdd(&slow); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second one: %v", err)
	}
	ok(t, h.QdiscAdd(&clsact))
	ok(t, h.QdiscReplace(&fast))
	want("changed", fast, clsact)
	ok(t, h.QdiscDel(&clsact))
	ok(t, h.QdiscDel(&fast))
	want("removed")
	if err := h.QdiscDel(&fast); err == nil {
		t.Error("removed twice")
	}
}

// Where no filter is, none is listed, and none can be removed.
func TestNoFilters(t *testing.T) {
	h := handle(t)
	l := device(t, h, "open")
	clsact := netlink.Qdisc{LinkIndex: l.Attrs().Index, Handle: 0xffff0000, Parent: netlink.HANDLE_INGRESS,
		Kind: "clsact"}
	ok(t, h.QdiscAdd(&clsact))
	if list, err := h.FilterList(l, netlink.HANDLE_MIN_INGRESS); err != nil || len(list) != 0 {
		t.Errorf("filters %v, %v", list, err)
	}
	f := netlink.Filter{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Priority: 1,
		Protocol: unix.ETH_P_ALL, Kind: "matchall"}
	if err := h.FilterDel(&f); err == nil {
		t.Error("removed a filter that is not there")
	}
}

// Handles and ticks are those of the library, which are tc's.
func TestUnits(t *testing.T) {
	for _, h := range []uint32{1 << 16, 0xffff0000, 0xabcd1234} {
		if got, want := netlink.HandleStr(h), library.HandleStr(h); got != want {
			t.Errorf("handle %#x: %s, want %s", h, got, want)
		}
	}
	for _, rate := range []uint64{1000, 125000, 12500000} {
		for _, size := range []uint32{1500, 8000, 64000} {
			ticks := netlink.Xmittime(rate, size)
			if want := library.Xmittime(rate, size); float64(ticks) < 0.99*float64(want) ||
				float64(ticks) > 1.01*float64(want) {
				t.Errorf("%d bytes at %d: %d ticks, the library has %d", size, rate, ticks, want)
			}
			if back := netlink.Xmitsize(rate, ticks); back > size || float64(back) < 0.9*float64(size) {
				t.Errorf("%d ticks at %d: %d bytes, want %d", ticks, rate, back, size)
			}
		}
	}
}
