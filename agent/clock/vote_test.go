package clock

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"wguplink/agent/clock/clocktest"
)

func mustAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestDecide(t *testing.T) {
	// Each server: seconds off, root distance in seconds; the address is its place unless given.
	type s struct {
		off, distance float64
		addr          int
	}
	for name, c := range map[string]struct {
		servers []s
		best    int // -1: none
		lost    []int
	}{
		"no answer":             {nil, -1, nil},
		"one":                   {[]s{{off: 99}}, 0, nil},
		"two agree":             {[]s{{off: 0, distance: 0.2}, {off: 0.9, distance: 0.1}}, 1, nil},
		"two within distances":  {[]s{{off: 0, distance: 2}, {off: 4.5, distance: 1.6}}, 1, nil},
		"two just beyond":       {[]s{{off: 0, distance: 2}, {off: 4.7, distance: 1.6}}, -1, []int{0, 1}},
		"two differ":            {[]s{{off: 0}, {off: 30}}, -1, []int{0, 1}},
		"lone liar":             {[]s{{off: -86400}, {off: 0.1, distance: 0.1}, {off: 0}}, 2, []int{0}},
		"two liars that differ": {[]s{{off: -86400}, {off: 0}, {off: 0.2, distance: 1}, {off: 777}}, 1, []int{0, 3}},
		"two against two":       {[]s{{off: 0}, {off: 0.1}, {off: 60}, {off: 60.1}}, -1, []int{0, 1, 2, 3}},
		"three against two":     {[]s{{off: 60}, {off: 0}, {off: 60.1}, {off: 0.1}, {off: 60.2}}, 0, []int{1, 3}},
		"a chain of three":      {[]s{{off: 0}, {off: 0.9, distance: 0.01}, {off: 1.9}}, 0, []int{2}},
		"one name twice":        {[]s{{off: 5, addr: 7}, {off: 5, addr: 7}, {off: 0}}, -1, []int{0, 2}},
		"one alone, twice":      {[]s{{off: 5, addr: 7}, {off: 5, addr: 7}}, 0, nil},
		"all differ":            {[]s{{off: 0}, {off: 10}, {off: 20}}, -1, []int{0, 1, 2}},
		"vague among exact":     {[]s{{off: 0, distance: 16}, {off: 10}, {off: 10.3}, {off: -10}}, 1, []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			var answers []*answer
			for i, s := range c.servers {
				if s.addr == 0 {
					s.addr = 100 + i
				}
				// Answers come in at different moments; only what they say counts.
				came := time.Duration(i) * 700 * time.Millisecond
				answers = append(answers, &answer{server: fmt.Sprint("s", i),
					addr: mustAddr(fmt.Sprintf("192.0.2.%d:123", s.addr)),
					time: today.Add(came + time.Duration(s.off*1e9)), at: now.Add(came),
					distance: time.Duration(s.distance * 1e9)})
			}
			best, agreed, lost := decide(answers, today.AddDate(-1, 0, 0))
			got := -1
			var losers []int
			for i, a := range answers {
				if a == best {
					got = i
				}
				if r := lost[a]; r != nil {
					losers = append(losers, i)
					if !strings.Contains(r.String(), a.server+" (") || !strings.Contains(r.Value, "20") {
						t.Errorf("refusal %q lacks server or value", r)
					}
				}
			}
			if agreed != (len(c.servers)-len(losers) > 1 && name != "one alone, twice") {
				t.Errorf("agreed: %v", agreed)
			}
			if got != c.best || fmt.Sprint(losers) != fmt.Sprint(c.lost) {
				t.Errorf("best %d, want %d; refused %v, want %v", got, c.best, losers, c.lost)
			}
		})
	}
}

// A lone liar among three, over real UDP, whichever of them is the slow one.
func TestLoneLiar(t *testing.T) {
	for _, off := range []time.Duration{-30 * 24 * time.Hour, 10 * time.Second, 365 * 24 * time.Hour,
		10 * 365 * 24 * time.Hour} {
		for order := 0; order < 3; order++ {
			t.Run(fmt.Sprint(off, " ", order), func(t *testing.T) {
				w, truth, sys := newWorld(), from(today), clocktest.At(boot)
				w.name("a.example.org", "192.0.2.1")
				w.name("b.example.org", "192.0.2.2")
				w.name("liar.example.org", "192.0.2.3")
				// Each answers when the one before it has, so that any order is tried. The liar holds up none.
				answered := make([]chan struct{}, 4)
				for i := range answered {
					answered[i] = make(chan struct{})
				}
				close(answered[0])
				turn := func(place int, r respond) respond {
					place = (place + order) % 3
					return func(q []byte) [][]byte {
						<-answered[place]
						defer close(answered[place+1])
						return r(q)
					}
				}
				w.serve(t, "192.0.2.1:123", turn(0, truth.honest()))
				w.serve(t, "192.0.2.2:123", turn(1, truth.honest()))
				w.serve(t, "192.0.2.3:123", turn(2, truth.off(off).honest()))
				g := w.gate(sys, "", "a.example.org", "liar.example.org", "b.example.org")
				g.linger = 20 * time.Second
				res, err := g.Ensure(background(t))
				if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), slack) {
					t.Fatalf("%+v, %v, clock %v", res, err, sys.Now())
				}
				if res.Server == "liar.example.org" {
					t.Error("the liar was believed")
				}
				got := lines(res)
				if !strings.HasPrefix(got, "liar.example.org (192.0.2.3:123): contradicts 2 servers that agree: 20") ||
					strings.Count(got, "\n") != 1 {
					t.Errorf("refused %q", got)
				}
			})
		}
	}
}

// Nothing is decided while the servers are one against one and a third may still come.
func TestThirdDecides(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	both := make(chan struct{}, 2)
	first := func(r respond) respond {
		return func(q []byte) [][]byte { both <- struct{}{}; return r(q) }
	}
	w.serve(t, "192.0.2.1:123", first(truth.honest()))
	w.serve(t, "192.0.2.2:123", first(truth.off(time.Hour).honest()))
	w.serve(t, "192.0.2.3:123", func(q []byte) [][]byte {
		<-both
		<-both
		return [][]byte{reply(q, truth())}
	})
	res, err := w.gate(sys, "", "192.0.2.1", "192.0.2.2", "192.0.2.3").Check(background(t))
	if err != nil || res.Source != FromNTP || len(res.Refused) != 1 || res.Refused[0].From != "192.0.2.2" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestContradiction(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", truth.honest())
	w.serve(t, "192.0.2.2:123", truth.off(time.Hour).honest())
	res, err := w.gate(sys, "", "192.0.2.1", "192.0.2.2").Check(background(t))
	if err != nil || res.Source != Unverified || len(res.Refused) != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	for i, r := range res.Refused {
		if want := fmt.Sprintf(
			"192.0.2.%d: the servers contradict each other, and none has a majority: 2026-08-15T1%d:0", i+1,
			2+i); !strings.HasPrefix(r.String(), want) {
			t.Errorf("%q, want %q", r, want)
		}
	}
}

// One honest server among dead and mad ones is believed once these had their chance.
func TestLastOneStanding(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", silent)
	w.serve(t, "192.0.2.2:123", truth.kiss("DENY"))
	w.serve(t, "192.0.2.3:123", truth.honest())
	w.serve(t, "192.0.2.4:123", from(boot).honest())
	g := w.gate(sys, "", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	// Ensure asks again should the honest one be late.
	g.patience = func(int) time.Duration { return 300 * time.Millisecond }
	res, err := g.Ensure(background(t))
	if err != nil || res.Source != FromNTP || res.Server != "192.0.2.3" || !near(sys.Now(), truth(), slack) {
		t.Errorf("%+v, %v", res, err)
	}
	if got := lines(res); !strings.HasPrefix(got, "192.0.2.1: no answer") || strings.Count(got, "\n") != 3 {
		t.Errorf("refused\n%s", got)
	}
}

// Two that agree need not wait for one that is silent.
func TestTwoAreEnough(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", truth.honest())
	w.serve(t, "192.0.2.2:123", truth.honest())
	w.route("192.0.2.3:123", blackhole)
	g := w.gate(sys, "", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	g.patience = func(int) time.Duration { return time.Hour }
	res, err := g.Ensure(background(t))
	if err != nil || res.Source != FromNTP || len(res.Refused) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestSplitServer(t *testing.T) {
	for in, want := range map[string]string{
		"ntp.example.org":        "ntp.example.org 123",
		"ntp.example.org:1123":   "ntp.example.org 1123",
		"192.0.2.1":              "192.0.2.1 123",
		"192.0.2.1:5":            "192.0.2.1 5",
		"2001:db8::1":            "2001:db8::1 123",
		"fe80::1%eth0":           "fe80::1%eth0 123",
		"[2001:db8::1]":          "2001:db8::1 123",
		"[2001:db8::1]:65535":    "2001:db8::1 65535",
		"[fe80::1%br-wan]:123":   "fe80::1%br-wan 123",
		"":                       "",
		":123":                   "",
		"host:":                  "",
		"host:0":                 "",
		"host:65536":             "",
		"host:-1":                "",
		"host:ntp":               "",
		"a:b:c":                  "",
		"[2001:db8::1":           "",
		"[2001:db8::1]x":         "",
		"[2001:db8::1]:":         "",
		"[host]:123":             "",
		"[192.0.2.1]:123":        "",
		"two words":              "",
		"line\nbreak":            "",
		"2001:db8::1:99999":      "",
		"http://ntp.example.org": "",
	} {
		host, port, err := splitServer(in)
		got := fmt.Sprint(host, " ", port)
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSplitServer(f *testing.F) {
	for _, s := range []string{"host", "host:1", "[::1]:2", "::1", "[", "a:b", "::% ", "::%]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, err := splitServer(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error of two lines", s)
			}
			return
		}
		again, port2, err := splitServer(net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil || again != host || port2 != port {
			t.Errorf("%q: %q %d, then %q %d, %v", s, host, port, again, port2, err)
		}
	})
}
