//go:build !cross

package tunnel

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"wguplink/agent/testns"
)

// Routes of every kind stay. Ours is beside them where the kernel takes it, and that it is not used is said.
func TestRoutesOfOthersOfAnyKind(t *testing.T) {
	const ours = " proto 119 "
	const stays, unused = "no route to ", "the route to "
	const block, one, six = " blackhole 10.0.0.0/8", " via 192.0.2.1 dev wan", " via 2001:db8::1 dev wan"
	const ten = "10.0.0.0/8"
	for name, c := range map[string]struct{ ip, allowed, warning, by string }{
		"a black hole":            {"route add" + block, "10.0.0.0/8", stays, "of another kind"},
		"unreachable":             {"-6 route add unreachable fd00::/8 metric 1024", "fd00::/8", stays, "by lo"},
		"several ways":            {"route add 10.0.0.0/8 nexthop" + one + " nexthop" + one, ten, stays, "several"},
		"the line's network":      {"rule", "192.0.2.0/24", stays, "by wan"},
		"the line's IPv6 network": {"rule", "2001:db8::/64", unused, "by wan"},
		"as odhcp6c sets it":      {"-6 route add default" + six + " metric 512", "::/0", unused, "via 2001:db8::1 by"},
		"unreachable, and before": {"-6 route add unreachable fd00::/8 metric 1", "fd00::/8", unused, "by lo"},
		"for one source only":     {"-6 route add default from 2001:db8::/64" + six + " metric 512", "::/0", "", ""},
		"a higher metric":         {"-6 route add default" + six + " metric 2048", "::/0", "", ""},
		"that, for IPv4":          {"route add default" + one + " metric 10", "0.0.0.0/0", "", ""},
		"a longer prefix":         {"route add 10.0.0.0/9" + one, "10.0.0.0/8", "", ""},
		"another table":           {"route add 10.0.0.0/8" + one + " table 100", "10.0.0.0/8", "", ""},
		"that, for IPv6":          {"-6 route add ::/0" + six + " table 100 metric 1", "::/0", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			line(t, "wan", "192.0.2.2/24", "2001:db8::2/64")
			ip := func(args ...string) string {
				t.Helper()
				out, err := exec.Command("ip", args...).CombinedOutput()
				if err != nil {
					t.Fatalf("ip %q: %v: %s", args, err, out)
				}
				return string(out)
			}
			add := strings.Fields(c.ip)
			ip(add...)
			if i := slices.Index(add, "add"); i >= 0 {
				add[i] = "del"
				defer exec.Command("ip", add...).Run()
			}
			all := func() string {
				four, six := ip("route", "show", "table", "all"), ip("-6", "route", "show", "table", "all")
				lines := strings.Split(four+six, "\n")
				return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
					// Addresses of links come in their own time, and our own routes are not of others.
					own := slices.ContainsFunc([]string{"fe80:", "ff00:", " table local "}, func(word string) bool {
						return strings.Contains(l, word)
					})
					theirs := strings.Contains(l, "wan") || strings.Contains(l, "unreachable")
					return own || !theirs || strings.Contains(l, ours)
				}), "\n")
			}
			before := all()
			d := layer3(t, "192.0.2.1:51820", c.allowed, "fe80::1/128")
			tun := open(t, testns.WireGuard(t))
			for i := range 2 {
				r := apply(t, tun, d)
				found := slices.ContainsFunc(r.Warnings, func(w string) bool {
					return c.warning != "" && strings.HasPrefix(w, c.warning+c.allowed) && strings.Contains(w, " "+c.by)
				})
				want := 0
				if c.warning != "" {
					want = 1
				}
				if len(r.Warnings) != want || found != (want == 1) || i > 0 && r.Changes != 0 {
					t.Errorf("%d: %+v", i, r)
				}
			}
			if now := all(); now != before {
				t.Errorf("before\n%s\nnow\n%s", before, now)
			}
			if err := tun.Remove(d); err != nil {
				t.Fatal(err)
			}
			if now := all(); now != before {
				t.Errorf("before\n%s\nafter the end\n%s", before, now)
			}
			left := ip("route", "show", "table", "all") + ip("-6", "route", "show", "table", "all")
			if strings.Contains(left, ours) {
				t.Errorf("some of ours are left:\n%s", left)
			}
		})
	}
}
