//go:build !nobroker

package bugreport

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// How much of what other programs print goes into a report, in lines.
const (
	mostRoutes = 200
	mostLog    = 300
)

// routes writes the rules, and of the routes those that matter: default ones, what refuses, and what goes by our
// devices.
func (r *report) routes(ctx context.Context) {
	r.section("rules and routes")
	names := r.names()
	matters := func(line string) bool {
		words := strings.Fields(line)
		if len(words) == 0 {
			return false
		}
		if i := slices.Index(words, "dev"); i >= 0 && i+1 < len(words) && slices.Contains(names, words[i+1]) {
			return true
		}
		return slices.Contains([]string{"default", "unreachable", "blackhole", "prohibit", "throw"}, words[0])
	}
	always := func(string) bool { return true }
	for _, family := range []string{"-4", "-6"} {
		r.program(ctx, always, mostRoutes, "ip", family, "rule")
		r.program(ctx, matters, mostRoutes, "ip", family, "route", "show", "table", "all")
	}
	for _, u := range r.o.Uplinks {
		for _, g := range u.Gateways {
			for _, e := range g.Endpoints {
				if a, err := netip.ParseAddrPort(e); err == nil {
					r.program(ctx, always, mostRoutes, "ip", "route", "get", a.Addr().String(), "mark",
						fmt.Sprint(u.FwMark))
				}
			}
		}
	}
}

// log writes our lines of the system's log.
func (r *report) log(ctx context.Context) {
	r.section("log")
	r.program(ctx, func(line string) bool {
		return strings.Contains(line, "wguplink") || strings.Contains(line, "wgpeerselector") ||
			strings.Contains(line, "wireguard")
	}, mostLog, "logread")
}

// program writes the last lines of what a program prints, of those that matter.
func (r *report) program(ctx context.Context, matters func(string) bool, most int, name string, args ...string) {
	r.line("# %s", strings.Join(append([]string{name}, args...), " "))
	out, err := r.o.Run(ctx, name, args...)
	var lines []string
	for _, l := range strings.Split(string(out), "\n") {
		if strings.TrimSpace(l) != "" && matters(l) {
			lines = append(lines, strings.TrimRight(l, " \r"))
		}
	}
	if n := len(lines) - most; n > 0 {
		r.line("(%d lines before these are left out)", n)
		lines = lines[n:]
	}
	for _, l := range lines {
		r.line("%s", l)
	}
	if err != nil {
		r.line("(%v)", err)
	}
}
