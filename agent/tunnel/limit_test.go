package tunnel

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	ours "wguplink/agent/netlink"
	"wguplink/agent/testns"
)

// pair makes a veth pair and returns the end whose limits are set.
func pair(t *testing.T) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "here"
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: "there"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	up(t, "there")
	return up(t, "here")
}

func up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	return link
}

// limit sets limits and returns the warnings and how many changes it took.
func limit(t *testing.T, tun *Tunnel, link netlink.Link, want Limit) ([]string, int) {
	t.Helper()
	before := tun.count
	warnings, err := tun.limit(same(link), want)
	if err != nil {
		t.Fatal(err)
	}
	return warnings, tun.count - before
}

// qdiscs are the queueing disciplines of a device as "kind handle".
func qdiscs(t *testing.T, link netlink.Link) (list []string) {
	t.Helper()
	all, err := netlink.QdiscList(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		list = append(list, q.Type()+" "+netlink.HandleStr(q.Attrs().Handle))
	}
	return list
}

func root(t *testing.T, link netlink.Link) netlink.Qdisc {
	t.Helper()
	all, err := netlink.QdiscList(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_ROOT {
			return q
		}
	}
	return nil
}

// The limit of what is sent comes, changes and goes; in between nothing happens. On a device that has no queue as well
// as on one that has, such as wireguard-go's.
func TestLimitEgress(t *testing.T) {
	for _, c := range []struct {
		name string
		link func(*testing.T) netlink.Link
	}{
		{"veth", pair},
		{"tun", func(t *testing.T) netlink.Link {
			if err := testns.WireGuard(t)(context.Background(), "wg_mesh", ""); err != nil {
				t.Fatal(err)
			}
			return up(t, "wg_mesh")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tun := open(t, nil)
			link := c.link(t)
			before := qdiscs(t, link)
			if w, n := limit(t, tun, link, Limit{}); w != nil || n != 0 {
				t.Errorf("no limit: %q, %d changes", w, n)
			}
			for _, kbit := range []uint32{200, 2000, 100_000, 1_000_000, 64} {
				if w, n := limit(t, tun, link, Limit{Egress: kbit}); w != nil || n != 1 {
					t.Fatalf("%d kbit/s: %q, %d changes", kbit, w, n)
				}
				if w, n := limit(t, tun, link, Limit{Egress: kbit}); w != nil || n != 0 {
					t.Errorf("%d kbit/s again: %q, %d changes", kbit, w, n)
				}
				have, ok := root(t, link).(*netlink.Tbf)
				if !ok || have.Handle != egressHandle || have.Rate != uint64(kbit)*125 {
					t.Errorf("%d kbit/s: %+v", kbit, root(t, link))
				}
			}
			if w, n := limit(t, tun, link, Limit{}); w != nil || n != 1 {
				t.Errorf("no limit any more: %q, %d changes", w, n)
			}
			if diff := cmp.Diff(before, qdiscs(t, link)); diff != "" {
				t.Errorf("queueing disciplines afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

// A token bucket's numbers, in bytes.
func TestTokenBucket(t *testing.T) {
	for _, c := range []struct{ kbit, burst, limit uint32 }{
		{200, 6000, 8500},
		{2000, 12_500, 37_500},
		{10_000, 62_500, 187_500},
		{100_000, 625_000, 1_875_000},
	} {
		q := tokenBucket(1, c.kbit).Tbf
		// Times are whole ticks of 64 ns.
		burst := netlink.Xmitsize(q.Rate, q.Buffer)
		if q.Limit != c.limit || burst > c.burst || burst < c.burst-c.burst/1000-20 {
			t.Errorf("%d kbit/s: burst %d, limit %d; want %d and %d", c.kbit, burst, q.Limit, c.burst, c.limit)
		}
	}
	// The largest limit keeps within 32 bits.
	if q := tokenBucket(1, MaxLimit).Tbf; uint64(q.Limit) != q.Rate*egressFill/1000+q.Rate*egressWait/1000 {
		t.Errorf("%d kbit/s: %+v", uint32(MaxLimit), q)
	}
}

// A police action's numbers, in bytes.
func TestPolicer(t *testing.T) {
	for _, c := range []struct{ kbit, rate, burst uint32 }{
		{200, 25_000, 15_000},
		{2000, 250_000, 62_500},
		{100_000, 12_500_000, 3_125_000},
		{MaxLimit, MaxLimit * 125, 1_073_741_812},
	} {
		a := policer(1, c.kbit).Police
		if a.Rate != c.rate || a.Burst != c.burst {
			t.Errorf("%d kbit/s: rate %d, burst %d; want %d and %d", c.kbit, a.Rate, a.Burst, c.rate, c.burst)
		}
	}
}

// Another program's queueing discipline stays, and is warned about.
func TestLimitEgressOfOthers(t *testing.T) {
	tun := open(t, nil)
	link := pair(t)
	theirs := &netlink.Tbf{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT,
		Handle: netlink.MakeHandle(1, 0)}, Rate: 625_000, Limit: 70_000, Buffer: netlink.Xmittime(625_000, 31_250)}
	if err := netlink.QdiscAdd(theirs); err != nil {
		t.Fatal(err)
	}
	w, n := limit(t, tun, link, Limit{Egress: 200})
	if len(w) != 1 || !strings.Contains(w[0], "here has another program's queueing discipline (tbf 1:0)") || n != 0 {
		t.Errorf("%q, %d changes", w, n)
	}
	if w, n := limit(t, tun, link, Limit{}); w != nil || n != 0 {
		t.Errorf("no limit: %q, %d changes", w, n)
	}
	if have, ok := root(t, link).(*netlink.Tbf); !ok || have.Handle != theirs.Handle || have.Rate != theirs.Rate {
		t.Errorf("%+v", root(t, link))
	}
}

// policesAs says whether a filter, as the library reads it, is what we call so.
func policesAs(f netlink.Filter, want *ours.Filter) bool {
	m, ok := f.(*netlink.MatchAll)
	if !ok || len(m.Actions) != 1 {
		return false
	}
	a, ok := m.Actions[0].(*netlink.PoliceAction)
	return ok && polices(&ours.Filter{Kind: m.Type(), Protocol: m.Protocol, Actions: 1,
		Police: &ours.Police{Rate: a.Rate, Burst: a.Burst, Mtu: a.Mtu, Exceed: int32(a.ExceedAction)}}, want)
}

// The limit of what is received comes, changes and goes, as far as the kernel can do it; else there is a warning, and
// no other trace than a clsact discipline, which does nothing by itself, and leaves room for filters of others in both
// directions.
func TestLimitIngress(t *testing.T) {
	tun := open(t, nil)
	link := pair(t)
	before := qdiscs(t, link)
	able := -1
	for i, kbit := range []uint32{200, 2000, 100_000} {
		w, n := limit(t, tun, link, Limit{Ingress: kbit})
		filters, err := netlink.FilterList(link, ingressParent)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case len(w) == 0:
			able = max(able, 1)
			found := 0
			for _, f := range filters {
				if policesAs(f, policer(link.Attrs().Index, kbit)) {
					found++
				}
			}
			// One that is there cannot be changed: it goes, and another one comes.
			if found != 1 || n != 2 {
				t.Errorf("%d kbit/s: %d filters of ours, %d changes: %+v", kbit, found, n, filters)
			}
		case len(w) == 1 && w[0] == noIngress && len(filters) == 0:
			able = max(able, 0)
			if n != 1-min(i, 1) {
				t.Errorf("%d kbit/s: %d changes", kbit, n)
			}
		default:
			t.Errorf("%d kbit/s: warnings %q, filters %+v", kbit, w, filters)
		}
		if w2, n := limit(t, tun, link, Limit{Ingress: kbit}); n != 0 || cmp.Diff(w, w2) != "" {
			t.Errorf("%d kbit/s again: %q, %d changes", kbit, w2, n)
		}
		if have := strings.Join(qdiscs(t, link), ", "); !strings.Contains(have, "clsact ffff:") {
			t.Errorf("queueing disciplines: %s", have)
		}
	}
	t.Logf("can the kernel police: %d", able)
	if w, n := limit(t, tun, link, Limit{}); w != nil || n != able {
		t.Errorf("no limit any more: %q, %d changes", w, n)
	}
	if filters, err := netlink.FilterList(link, ingressParent); err != nil || len(filters) != 0 {
		t.Errorf("%v, filters left: %+v", err, filters)
	}
	others := slices.DeleteFunc(qdiscs(t, link), func(q string) bool { return strings.Contains(q, "clsact") })
	if diff := cmp.Diff(before, others); diff != "" {
		t.Errorf("queueing disciplines afterwards (-want +got):\n%s", diff)
	}
}

// An ingress discipline, as earlier versions made it, goes when it has no filters.
func TestLimitIngressOfEarlierVersions(t *testing.T) {
	tun := open(t, nil)
	link := pair(t)
	before := qdiscs(t, link)
	old := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index,
		Parent: netlink.HANDLE_INGRESS,
		Handle: netlink.MakeHandle(0xffff, 0)}}
	if err := netlink.QdiscAdd(old); err != nil {
		t.Fatal(err)
	}
	if w, n := limit(t, tun, link, Limit{}); w != nil || n != 1 {
		t.Errorf("%q, %d changes", w, n)
	}
	if diff := cmp.Diff(before, qdiscs(t, link)); diff != "" {
		t.Errorf("queueing disciplines (-want +got):\n%s", diff)
	}
}

// A clsact discipline of another program is used, and stays.
func TestLimitIngressOfOthers(t *testing.T) {
	tun := open(t, nil)
	link := pair(t)
	theirs := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index,
		Parent: netlink.HANDLE_CLSACT,
		Handle: netlink.MakeHandle(0xffff, 0)}}
	if err := netlink.QdiscAdd(theirs); err != nil {
		t.Fatal(err)
	}
	w, n := limit(t, tun, link, Limit{Ingress: 2000})
	if n != 1-len(w) {
		t.Errorf("%q, %d changes", w, n)
	}
	limit(t, tun, link, Limit{})
	if have := strings.Join(qdiscs(t, link), ", "); !strings.Contains(have, "clsact ffff:") {
		t.Errorf("queueing disciplines: %s", have)
	}
	filters, err := netlink.FilterList(link, ingressParent)
	if err != nil || len(filters) != 0 {
		t.Errorf("%v, filters left: %+v", err, filters)
	}
}

// same is a link of the library as one of ours.
func same(l netlink.Link) ours.Link {
	return &ours.Device{LinkAttrs: ours.LinkAttrs{Index: l.Attrs().Index, Name: l.Attrs().Name}, Kind: l.Type()}
}

func TestLimitErrors(t *testing.T) {
	tun := open(t, nil)
	link := pair(t)
	if _, err := tun.limit(same(link), Limit{Ingress: MaxLimit + 1}); err == nil ||
		!strings.Contains(err.Error(), "limit here to 34359739 kbit/s") {
		t.Errorf("too large: %v", err)
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Limit{{Egress: 200}, {Ingress: 200}} {
		if _, err := tun.limit(same(link), want); !isNotFound(err) {
			t.Errorf("a device that is gone: %v", err)
		}
	}
}
