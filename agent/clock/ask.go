package clock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linger is how long a round waits for the rest once two servers agree, so that a liar is outvoted rather than merely
// late, and gets named.
const linger = 100 * time.Millisecond

// patience is how long a server has for its name to be resolved, and again for its answer, in the nth round. It grows
// because there are lines with round trips of five seconds.
func patience(n int) time.Duration {
	return min(2*time.Second<<min(n/2, 4), 8*time.Second)
}

// said is what came of one server in a round.
type said struct {
	index    int
	answer   *answer // nil when there is none to believe
	refusals []Refusal
}

// unasked as the number of a round has no server asked.
const unasked = -1

// ask puts the question to all servers at once and gives the answer of the majority, or the only one that the floor
// leaves; nil when there is none.
func (g *Gate) ask(ctx context.Context, o Options, l limits, n int) (best *answer, agreed bool, refusals []Refusal) {
	if len(o.Servers) == 0 {
		return nil, false, []Refusal{{From: "ntp", Reason: "no server is configured"}}
	}
	if n == unasked {
		return nil, false, []Refusal{{From: "ntp", Reason: "not asked yet"}}
	}
	wait := g.patience(n)
	// The bound is for a Resolve or Dial that does not heed its context: it may keep its goroutine, not us.
	round, cancel := context.WithTimeout(ctx, 2*wait+g.linger)
	defer cancel()
	results := make(chan said, len(o.Servers))
	for i, server := range o.Servers {
		go func() {
			s := g.askServer(round, o, server, l.asked(), n)
			s.index = i
			results <- s
		}()
	}

	all := make([]*said, len(o.Servers))
	var answers []*answer
	missing := len(all)
	take := func(s said) {
		missing--
		all[s.index] = &s
		if s.answer != nil {
			answers = append(answers, s.answer)
		}
	}
	timer := time.NewTimer(g.linger)
	timer.Stop()
	defer timer.Stop()
	lingering := false
	for done := false; missing > 0 && !done; {
		select {
		case s := <-results:
			take(s)
			if !lingering && majority(answers) {
				timer.Reset(g.linger)
				lingering = true
			}
		case <-timer.C:
			// An even number may have fallen out meanwhile; then the rest has to say.
			done, lingering = majority(answers), false
		case <-round.Done():
			done = true
		}
	}
	for late := true; late && missing > 0; {
		select {
		case s := <-results:
			take(s)
		default:
			late = false
		}
	}

	best, agreed, lost := decide(answers, l.floor)
	if errors.Is(ctx.Err(), context.Canceled) {
		// The caller is leaving: the clock need not be set any more.
		best, agreed = nil, false
	}
	for i, s := range all {
		switch {
		case s != nil:
			refusals = append(refusals, s.refusals...)
			if s.answer != nil && lost[s.answer] != nil {
				refusals = append(refusals, *lost[s.answer])
			}
		case best == nil:
			refusals = append(refusals, Refusal{From: o.Servers[i], Reason: "no answer yet"})
		}
	}
	return best, agreed, refusals
}

// askServer asks one address of each family side by side: with a dead IPv6 route, or none, the other still answers.
// The first answer to believe is the server's.
func (g *Gate) askServer(ctx context.Context, o Options, server string, bounds Bounds, n int) said {
	host, port, err := splitServer(server)
	if err != nil {
		return refused(server, err.Error(), "")
	}
	wait := g.patience(n)
	literal, err := netip.ParseAddr(host)
	addrs := []netip.Addr{literal}
	if err != nil {
		resolving, cancel := context.WithTimeout(ctx, wait)
		addrs, err = o.Resolve(resolving, host)
		late := resolving.Err() != nil
		cancel()
		switch {
		case err != nil && late:
			return refused(server, fmt.Sprintf("its name was not resolved within %v", wait), oneLine(err))
		case err != nil:
			return refused(server, "its name cannot be resolved", oneLine(err))
		}
	}
	targets, quiet := g.choose(addrs, port, n)
	switch {
	case len(targets) == 0 && quiet > 0:
		return refused(server, "not asked, because it asked to be left alone",
			"for "+quiet.Round(time.Second).String()+" more")
	case len(targets) == 0:
		return refused(server, "its name has no address", "")
	}

	// Questions that still wait when the first has its answer are called off.
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan said, len(targets))
	for _, target := range targets {
		go func() {
			a, refusal := g.query(asking, o, target, wait, bounds)
			if refusal != nil {
				refusal.From = at(server, target)
				results <- said{refusals: []Refusal{*refusal}}
				return
			}
			a.server = server
			results <- said{answer: a}
		}()
	}
	var out said
	for range targets {
		s := <-results
		out.refusals = append(out.refusals, s.refusals...)
		if s.answer != nil {
			out.answer = s.answer
			break
		}
	}
	return out
}

func refused(from, reason, value string) said {
	return said{refusals: []Refusal{{From: from, Reason: reason, Value: value}}}
}

// at names a server, with the address that was asked unless that is all the server has for a name.
func at(server string, target netip.AddrPort) string {
	if host, _, err := splitServer(server); err == nil && host == target.Addr().String() {
		return server
	}
	return server + " (" + target.String() + ")"
}

// choose gives at most one address of each family, another one in each round, leaving out those that asked to be left
// alone. When it leaves out all, quiet is how long the first of them stays so.
func (g *Gate) choose(addrs []netip.Addr, port uint16, n int) (targets []netip.AddrPort, quiet time.Duration) {
	var families [2][]netip.AddrPort
	for _, addr := range addrs {
		if !addr.IsValid() {
			continue
		}
		addr = addr.Unmap()
		family := 0
		if addr.Is4() {
			family = 1
		}
		target := netip.AddrPortFrom(addr, port)
		if slices.Contains(families[family], target) {
			continue
		}
		if left := g.quietFor(target); left > 0 {
			if quiet == 0 || left < quiet {
				quiet = left
			}
			continue
		}
		families[family] = append(families[family], target)
	}
	for _, family := range families {
		if len(family) > 0 {
			targets = append(targets, family[n%len(family)])
		}
	}
	return targets, quiet
}

func (g *Gate) quietFor(target netip.AddrPort) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(time.Until(g.quiet[target]), 0)
}

func (g *Gate) keepQuiet(target netip.AddrPort, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for old, until := range g.quiet {
		if time.Until(until) <= 0 {
			delete(g.quiet, old)
		}
	}
	g.quiet[target] = time.Now().Add(d)
}

// splitServer reads "host", "host:port", "v6", "[v6]" or "[v6]:port".
func splitServer(server string) (host string, port uint16, err error) {
	bad := errors.New(`not a server: write "host", "host:port" or "[v6]:port"`)
	if strings.ContainsAny(server, " \t\r\n") {
		return "", 0, bad
	}
	if _, err := netip.ParseAddr(server); err == nil && !strings.Contains(server, "]") {
		return server, 123, nil
	}
	host, number, given := server, "", false
	if rest, ok := strings.CutPrefix(server, "["); ok {
		if host, rest, ok = strings.Cut(rest, "]"); !ok {
			return "", 0, bad
		}
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return "", 0, bad
		}
		if number, given = strings.CutPrefix(rest, ":"); !given && rest != "" {
			return "", 0, bad
		}
	} else {
		host, number, given = strings.Cut(server, ":")
	}
	if host == "" {
		return "", 0, bad
	}
	if !given {
		return host, 123, nil
	}
	p, err := strconv.ParseUint(number, 10, 16)
	if err != nil || p == 0 {
		return "", 0, bad
	}
	return host, uint16(p), nil
}
