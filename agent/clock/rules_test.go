//go:build go1.25

package clock

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/clock/clocktest"
)

// day gives midnight of a day.
func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// narrow is a clock of 32 bits: it can show what is after January 2038, but not be set to it.
type narrow struct{ *clocktest.System }

func (n narrow) Step(t time.Time) error {
	if t.Unix() > 1<<31-1 {
		return fmt.Errorf("does not fit: %w", unix.ERANGE)
	}
	return n.System.Step(t)
}

// Each row of the package's documentation, by its number. The build is of 1 June 2026.
func TestRules(t *testing.T) {
	rtc := time.Date(2063, 5, 4, 0, 0, 0, 0, time.UTC)
	type row struct {
		rule    int
		name    string
		kept    time.Time // zero: no file
		clock   time.Time
		synced  bool
		servers []time.Time // zero: a silent one
		width   int         // of the clock, 64 when 0
		noRight bool        // to set it
		source  Source
		after   time.Time // what the clock shows then; zero: goes on as it was
		keeps   time.Time // the kept time then; zero: as before
		refused string    // part of what is refused; "": nothing is
	}
	var none time.Time
	rows := []row{
		{rule: 1, name: "a synchronised kernel", clock: today, synced: true, servers: []time.Time{boot},
			source: FromKernel, keeps: today},
		{rule: 2, name: "a synchronised kernel and a poisoned floor", kept: day(2040, 1, 1), clock: today, synced: true,
			servers: []time.Time{none},
			source:  FromKernel, keeps: today},
		{rule: 2, name: "a synchronised kernel before the build", clock: day(2026, 3, 1), synced: true,
			source: FromKernel, keeps: day(2026, 3, 1)},
		{rule: 3, name: "a synchronised kernel in twenty years", kept: day(2026, 8, 1), clock: today.AddDate(20, 0, 0),
			synced: true, source: FromKernel,
			refused: "kernel: not kept as the last known time: later than can be, after 2041-08-01T00:00:00Z: 2046"},
		{rule: 4, name: "a synchronised kernel in 1970", clock: boot, synced: true, servers: []time.Time{today, today},
			source: FromNTP, after: today, keeps: today,
			refused: "kernel: its clock is synchronised, yet earlier than can be, before 2026-01-01T00:00:00Z: 1970"},
		{rule: 4, name: "a synchronised kernel in 2063", clock: rtc, synced: true, servers: []time.Time{today},
			source: FromNTP, after: today, keeps: day(2026, 7, 1),
			refused: "kernel: its clock is synchronised, yet later than can be, after 2056-06-01T00:00:00Z: 2063"},
		{rule: 4, name: "a synchronised kernel in 2063, and no server answers", clock: rtc, synced: true,
			servers: []time.Time{none}, source: Unverified, after: build,
			refused: "192.0.2.1: no answer"},
		{rule: 5, name: "servers that agree", clock: boot, servers: []time.Time{today, today, today}, source: FromNTP,
			after: today, keeps: today},
		{rule: 5, name: "servers that agree for years ahead", clock: boot,
			servers: []time.Time{day(2031, 1, 1), day(2031, 1, 1)}, source: FromNTP,
			after: day(2031, 1, 1), keeps: build.AddDate(1, 0, 0)},
		{rule: 5, name: "two agree, two differ", clock: boot,
			servers: []time.Time{day(2040, 1, 1), today, today, day(2030, 1, 1)}, source: FromNTP, after: today,
			keeps: today, refused: "192.0.2.1: contradicts 2 servers that agree: 2040"},
		{rule: 6, name: "three agree, the floor is poisoned", kept: day(2040, 1, 1), clock: today,
			servers: []time.Time{today, today, today}, source: FromNTP, keeps: today},
		{rule: 6, name: "three agree, the floor is poisoned, and the clock is in 2040", kept: day(2040, 1, 1),
			clock:   day(2040, 1, 2),
			servers: []time.Time{today, today, today}, source: FromNTP, after: today, keeps: today},
		{rule: 6, name: "three agree, the floor is poisoned within five years", kept: day(2031, 1, 1), clock: boot,
			servers: []time.Time{today, today, today},
			source:  FromNTP, after: today, keeps: today},
		{rule: 6, name: "two agree, one is where the poisoned floor is", kept: day(2040, 1, 1), clock: boot,
			servers: []time.Time{day(2040, 1, 2), today, today},
			source:  FromNTP, after: today, keeps: today, refused: "192.0.2.1: contradicts 2 servers that agree"},
		{rule: 6, name: "two agree on a time before the build", clock: boot,
			servers: []time.Time{day(2026, 3, 1), day(2026, 3, 1)}, source: FromNTP,
			after: day(2026, 3, 1), keeps: day(2026, 3, 1)},
		{rule: 7, name: "one behind the floor, one not", kept: day(2026, 8, 1), clock: boot,
			servers: []time.Time{day(2026, 7, 1), today}, source: FromNTP, after: today,
			keeps: today, refused: "192.0.2.1: before the last known time 2026-08-01T00:00:00Z: 2026-07-01"},
		{rule: 7, name: "two and two", kept: day(2026, 8, 1), clock: boot,
			servers: []time.Time{day(2026, 7, 1), today, today, day(2026, 7, 1)}, source: FromNTP,
			after: today, keeps: today, refused: "192.0.2.1: before the last known time"},
		{rule: 8, name: "all differ", clock: today, servers: []time.Time{today, day(2026, 9, 1), day(2026, 10, 1)},
			source:  Unverified,
			refused: "192.0.2.1: the servers contradict each other, and none has a majority"},
		{rule: 8, name: "one in 2040, one right", clock: today, servers: []time.Time{today, day(2040, 1, 1)},
			source:  Unverified,
			refused: "192.0.2.2: the servers contradict each other, and none has a majority: 2040"},
		{rule: 9, name: "one server", clock: boot, servers: []time.Time{today, none}, source: FromNTP, after: today,
			keeps:   day(2026, 7, 1),
			refused: "192.0.2.2: no answer"},
		{rule: 10, name: "one server in 2040, steadily", clock: boot, servers: []time.Time{day(2040, 1, 1)},
			source: FromNTP, after: day(2040, 1, 1), keeps: day(2027, 6, 1)},
		{rule: 9, name: "one server, and a kept time that is not the floor", kept: day(2040, 1, 1), clock: boot,
			servers: []time.Time{today}, source: FromNTP, after: today},
		{rule: 11, name: "one server, the floor is poisoned", kept: day(2030, 1, 1), clock: boot,
			servers: []time.Time{today}, source: FromNTP, after: today, keeps: today},
		{rule: 11, name: "one server before the build", clock: boot, servers: []time.Time{day(2026, 3, 1)},
			source: FromNTP, after: day(2026, 3, 1), keeps: day(2026, 3, 1)},
		{rule: 12, name: "servers that agree on 2063", clock: today, servers: []time.Time{rtc, rtc, rtc},
			source:  Unverified,
			refused: "192.0.2.1: later than can be, after 2041-06-01T00:00:00Z: 2063"},
		{rule: 12, name: "servers that agree on 2006", clock: today,
			servers: []time.Time{day(2006, 1, 1), day(2006, 1, 1)}, source: Unverified,
			refused: "192.0.2.1: earlier than can be, before 2026-01-01T00:00:00Z: 2006"},
		{rule: 16, name: "no server answers, a year ahead", clock: today.AddDate(1, 0, 0), servers: []time.Time{none},
			source: Unverified, refused: "192.0.2.1: no answer"},
		{rule: 16, name: "no server is configured", clock: today, source: Unverified,
			refused: "ntp: no server is configured"},
		{rule: 16, name: "no answer, and a kept time that is not the floor", kept: day(2040, 1, 1), clock: today,
			servers: []time.Time{none}, source: Unverified,
			refused: "no answer"},
		{rule: 16, name: "no server answers, a program of sixteen years with a kept time", kept: day(2042, 1, 1),
			clock: day(2042, 6, 1), servers: []time.Time{none},
			source: Unverified, refused: "no answer"},
		{rule: 17, name: "no server answers in 1970, and a kept time that is not the floor", kept: day(2040, 1, 1),
			clock: boot, servers: []time.Time{none},
			source: Unverified, after: build, refused: "no answer"},
		{rule: 17, name: "no server answers in 1970", kept: day(2026, 8, 1), clock: boot, servers: []time.Time{none},
			source: Unverified, after: day(2026, 8, 1), refused: "no answer"},
		{rule: 17, name: "no server answers in 2063", kept: day(2026, 8, 1), clock: rtc, servers: []time.Time{none},
			source: Unverified, after: day(2026, 8, 1), refused: "no answer"},
		{rule: 17, name: "no server answers a moment after what is plausible", clock: day(2041, 6, 1).Add(time.Second),
			servers: []time.Time{none}, source: Unverified, after: build,
			refused: "no answer"},
		{rule: 17, name: "no server is configured in 2063", clock: rtc, source: Unverified, after: build,
			refused: "ntp: no server is configured"},
		{rule: 18, name: "an hour ahead", kept: today.Add(time.Hour), clock: today, synced: true,
			source: FromKernel, keeps: today},
		{rule: 18, name: "a second ahead", kept: today.Add(time.Second), clock: today, synced: true,
			source: FromKernel},
		{rule: 19, name: "a week", kept: today.AddDate(0, 0, -7), clock: today, synced: true, source: FromKernel},
		{rule: 19, name: "eight days", kept: today.AddDate(0, 0, -8), clock: today, synced: true,
			source: FromKernel, keeps: today},
		{rule: 19, name: "five years", kept: today, clock: today.AddDate(5, 0, 0), synced: true, source: FromKernel,
			keeps: today.AddDate(1, 0, 0)},
		{rule: 19, name: "a program of eight years", kept: day(2034, 1, 1), clock: day(2034, 6, 1), synced: true,
			source: FromKernel, keeps: day(2034, 6, 1)},
		{rule: 20, name: "a program of eight years", kept: day(2034, 1, 1), clock: boot,
			servers: []time.Time{day(2034, 1, 20)}, source: FromNTP, after: day(2034, 1, 20),
			keeps: day(2034, 1, 20)},
		{rule: 20, name: "eight days", kept: today.AddDate(0, 0, -8), clock: today, servers: []time.Time{today},
			source: FromNTP, keeps: today},
		{rule: 20, name: "half a year", kept: day(2026, 6, 10), clock: boot, servers: []time.Time{day(2026, 12, 1)},
			source: FromNTP, after: day(2026, 12, 1), keeps: day(2026, 7, 10)},
		{rule: 22, name: "of 2057", kept: day(2057, 1, 1), clock: today, synced: true, source: FromKernel,
			keeps: today, refused: ""},
		{rule: 23, name: "servers that agree", clock: boot, servers: []time.Time{today, today}, noRight: true,
			source: Unverified},
		{rule: 23, name: "no server answers in 2063", clock: rtc, servers: []time.Time{none}, noRight: true,
			source: Unverified, refused: "no answer"},
		{rule: 23, name: "servers that agree, and the clock is right", clock: today, servers: []time.Time{today, today},
			noRight: true, source: FromNTP, keeps: today},
		{rule: 24, name: "a kernel that is synchronised in 2039", kept: day(2037, 6, 1), clock: day(2039, 1, 1),
			synced: true, width: 32, source: FromKernel, keeps: day(2038, 6, 1)},
	}
	for year := 2038; year <= 2041; year++ {
		at := day(year, 2, 1)
		rows = append(rows,
			row{rule: 24, name: fmt.Sprint("one server claims ", year, " steadily, in 1970"), clock: boot,
				servers: []time.Time{at}, width: 32, source: Unverified, after: build},
			row{rule: 24, name: fmt.Sprint("one server claims ", year, " steadily"), clock: today,
				servers: []time.Time{at}, width: 32, source: Unverified},
			row{rule: 24, name: fmt.Sprint("two servers claim ", year), clock: today, servers: []time.Time{at, at},
				width: 32, source: Unverified},
			row{rule: 24, name: fmt.Sprint("two servers claim ", year, " and so does the clock"), clock: at,
				servers: []time.Time{at, at}, width: 32, source: FromNTP, keeps: day(2027, 6, 1)},
			row{rule: 24, name: fmt.Sprint("the floor is of ", year), kept: at, clock: today,
				servers: []time.Time{today, today}, width: 32, source: FromNTP, keeps: today},
			row{rule: 24, name: fmt.Sprint("the floor is of ", year, " and no server answers"), kept: at, clock: boot,
				servers: []time.Time{none}, width: 32, source: Unverified, after: build, refused: "no answer"},
		)
	}
	for _, r := range rows {
		t.Run(fmt.Sprint(r.rule, " ", r.name), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "last-time")
			if !r.kept.IsZero() {
				write(t, file, stamp(r.kept)+"\n")
			}
			before := read(t, file)
			synctest.Test(t, func(t *testing.T) {
				w, inner := newWorld(), clocktest.At(r.clock)
				inner.SetSynchronised(r.synced, nil)
				var servers []string
				for i, at := range r.servers {
					servers = append(servers, fmt.Sprint("192.0.2.", i+1))
					w.piped(servers[i]+":123", silent)
					if !at.IsZero() {
						w.piped(servers[i]+":123", from(at).honest())
					}
				}
				var sys System = inner
				if r.width == 32 {
					sys = narrow{inner}
				}
				if r.noRight {
					inner.RefuseSteps(os.ErrPermission)
				}
				start := time.Now()
				res, err := w.virtualGate(sys, file, servers...).Ensure(t.Context())
				passed := time.Since(start)
				if res.Source != r.source {
					t.Errorf("source %q, want %q: %+v, %v", res.Source, r.source, res, err)
				}
				var cannot *SetError
				if fails := r.noRight && r.source == Unverified || r.width == 32 && r.source == Unverified &&
					r.refused == ""; errors.As(err, &cannot) != fails {
					t.Errorf("error %v", err)
				}
				want := r.clock.Add(passed)
				if !r.after.IsZero() {
					// What is set goes on from then; the floor is set when the grace time is over.
					want = r.after.Add(passed)
					if r.source == Unverified {
						want = r.after
					}
				}
				if got := inner.Now(); !near(got, want, time.Second) {
					t.Errorf("the clock shows %v, want %v", got, want)
				}
				text := read(t, file)
				if r.keeps.IsZero() {
					if text != before {
						t.Errorf("kept %q, was %q", text, before)
					}
				} else if kept, err := parseFloor(text); err != nil || !near(kept, r.keeps, passed+time.Second) {
					t.Errorf("kept %q, want %v", text, r.keeps)
				}
				if got := lines(res); !strings.Contains(got, r.refused) || r.refused == "" && got != "" &&
					r.rule != 22 && cannot == nil {
					t.Errorf("refused %q, want %q", got, r.refused)
				}
				if r.synced && r.source == FromKernel && len(servers) > 0 && w.count("192.0.2.1:123") > 0 {
					t.Error("a server is asked although the kernel is believed")
				}
			})
		})
	}
}

// Rules 13 to 15, 20 and 21: a signed time.
func TestRulesSigned(t *testing.T) {
	for _, r := range []struct {
		rule        int
		kept, clock time.Time
		offered     []time.Time // a minute apart, as they are meant at the first
		source      Source      // of the last
		steps       int
		keeps       time.Time
	}{
		{13, day(2026, 8, 1), boot, []time.Time{today}, FromSigned, 1, today},
		{13, day(2026, 8, 1), boot, []time.Time{day(2040, 1, 1)}, FromSigned, 1, day(2026, 9, 1)},
		{14, day(2030, 1, 1), boot, []time.Time{today}, Unverified, 0, day(2030, 1, 1)},
		{14, day(2030, 1, 1), boot, []time.Time{today, today}, Unverified, 0, day(2030, 1, 1)},
		{14, day(2030, 1, 1), boot, []time.Time{today, today, today}, FromSigned, 1, today},
		{14, day(2030, 1, 1), boot, []time.Time{today, day(2026, 9, 1), today}, Unverified, 0, day(2030, 1, 1)},
		{14, day(2030, 1, 1), boot, []time.Time{today, today, day(2026, 9, 1), today, today}, Unverified,
			0, day(2030, 1, 1)},
		{15, day(2026, 8, 1), boot, []time.Time{day(2063, 1, 1), day(2063, 1, 1), day(2063, 1, 1), day(2063, 1, 1)},
			Unverified, 0, day(2026, 8, 1)},
		{15, day(2026, 8, 1), boot, []time.Time{day(2006, 1, 1), day(2006, 1, 1), day(2006, 1, 1), day(2006, 1, 1)},
			Unverified, 0, day(2026, 8, 1)},
		{21, today.Add(time.Hour), today, []time.Time{today.Add(time.Hour)}, FromSigned, 1, today.Add(time.Hour)},
	} {
		t.Run(fmt.Sprint(r.rule, " ", r.offered), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "last-time")
			write(t, file, stamp(r.kept)+"\n")
			synctest.Test(t, func(t *testing.T) {
				sys := clocktest.At(r.clock)
				g := newWorld().virtualGate(sys, file)
				var res Result
				var err error
				for i, at := range r.offered {
					if i > 0 {
						<-time.After(time.Minute)
					}
					res, err = g.Offer(at.Add(time.Duration(i)*time.Minute), "config.example.org")
				}
				if res.Source != r.source || (err == nil) != (r.source == FromSigned) || len(sys.Steps()) != r.steps {
					t.Errorf("%+v, %v, steps %v", res, err, sys.Steps())
				}
				if kept, err := parseFloor(read(t, file)); err != nil || !near(kept, r.keeps, 10*time.Minute) {
					t.Errorf("kept %v (%v), want %v", kept, err, r.keeps)
				}
			})
		})
	}
}

// What one source says in doubt, another confirms, be it in another round.
func TestRepeatedByAnother(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-time")
	write(t, file, "2030-01-01T00:00:00Z\n")
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.piped("192.0.2.1:123", truth.honest())
		w.piped("192.0.2.2:123", truth.honest())
		w.name("pool.example.org", "192.0.2.1", "192.0.2.2") // one in each round
		start := time.Now()
		res, err := w.virtualGate(sys, file, "pool.example.org").Ensure(t.Context())
		if took := time.Since(start); err != nil || res.Source != FromNTP || took > time.Second ||
			!near(sys.Now(), truth(), time.Millisecond) {
			t.Errorf("%+v, %v after %v", res, err, took)
		}
	})
	write(t, file, "2030-01-01T00:00:00Z\n")
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.piped("192.0.2.1:123", truth.honest())
		g := w.virtualGate(sys, file, "192.0.2.1")
		if res, err := g.Offer(truth(), "config.example.org"); err == nil || res.Source != Unverified {
			t.Errorf("%+v, %v", res, err)
		}
		res, err := g.Ensure(t.Context())
		if err != nil || res.Source != FromNTP || w.count("192.0.2.1:123") != 1 ||
			!near(sys.Now(), truth(), time.Millisecond) {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// A server that says 2040 once, and is right from then on: neither the clock nor the kept time goes there. This is so
// at each of many starts.
func TestWrongOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-time")
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w, truth, sys := newWorld(), from(today), clocktest.At(boot)
			first := true
			w.piped("192.0.2.1:123", func(q []byte) [][]byte {
				if first {
					first = false
					return [][]byte{reply(q, day(2040, 1, 1))}
				}
				return [][]byte{reply(q, truth())}
			})
			res, err := w.virtualGate(sys, file, "192.0.2.1").Ensure(t.Context())
			if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), time.Millisecond) ||
				len(sys.Steps()) != 1 {
				t.Errorf("%+v, %v, clock %v", res, err, sys.Now())
			}
			if kept, err := parseFloor(read(t, file)); err != nil || kept.After(truth()) {
				t.Errorf("kept %v (%v)", kept, err)
			}
		})
	}
}

// A clock that cannot be set: asked for once, then ever more rarely; said once, and right as soon as it can be set.
func TestCannotBeSet(t *testing.T) {
	for name, c := range map[string]struct {
		why   error
		claim time.Time
		hint  bool
	}{
		"no right": {unix.EPERM, today, true},
		"32 bit":   {unix.ERANGE, day(2038, 1, 20), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, truth, sys := newWorld(), from(c.claim), clocktest.At(today.AddDate(0, 0, -3))
				sys.RefuseSteps(c.why)
				w.piped("192.0.2.1:123", truth.honest())
				w.piped("192.0.2.2:123", truth.honest())
				g := w.virtualGate(sys, "", "192.0.2.1", "192.0.2.2")
				res, err := g.Ensure(t.Context())
				var cannot *SetError
				if !errors.As(err, &cannot) || !errors.Is(err, c.why) ||
					strings.Contains(err.Error(), "CAP_SYS_TIME") != c.hint || res.Source != Unverified {
					t.Fatalf("%+v, %v", res, err)
				}
				asked := w.count("192.0.2.1:123")
				time.AfterFunc(24*time.Hour, func() { sys.RefuseSteps(nil) })
				told := 0
				start := time.Now()
				res, err = g.Retry(t.Context(), func(r Result) {
					told++
					if !strings.HasPrefix(lines(r), "clock: cannot be set: ") {
						t.Errorf("told %q", lines(r))
					}
				})
				took := time.Since(start)
				if err != nil || res.Source != FromNTP || took < 24*time.Hour || took > 25*time.Hour ||
					!near(sys.Now(), truth(), time.Millisecond) {
					t.Errorf("%+v, %v after %v", res, err, took)
				}
				if more := w.count("192.0.2.1:123") - asked; asked != 1 || more > 60 || told > 60 || told < 20 {
					t.Errorf("asked %d times, then %d times in a day; told %d times", asked, more, told)
				}
			})
		})
	}
}

// While the clock cannot be set, another program may see to it.
func TestCannotBeSetButIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.piped("192.0.2.1:123", truth.honest())
		sys.RefuseSteps(os.ErrPermission)
		g := w.virtualGate(sys, "", "192.0.2.1")
		if _, err := g.Ensure(t.Context()); err == nil {
			t.Fatal("no error")
		}
		time.AfterFunc(10*time.Minute,
			func() { sys.SetSynchronised(true, nil); sys.RefuseSteps(nil); sys.Step(truth()) })
		res, err := g.Retry(t.Context(), ignore)
		if err != nil || res.Source != FromKernel {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// A grace time of 0 waits for no server, and still lets no clock through that cannot be right.
func TestGraceOfZero(t *testing.T) {
	for _, c := range []struct {
		clock  time.Time
		synced bool
		source Source
		after  time.Time
	}{
		{today, false, Unverified, today},
		{today, true, FromKernel, today},
		{boot, false, Unverified, build},
		{day(2063, 1, 1), false, Unverified, build},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, truth, sys := newWorld(), from(today.Add(time.Hour)), clocktest.At(c.clock)
			sys.SetSynchronised(c.synced, nil)
			w.piped("192.0.2.1:123", truth.honest())
			g := New(Options{System: sys, Servers: []string{"192.0.2.1"}, Build: build, Dial: w.Dial,
				Resolve: w.Resolve})
			start := time.Now()
			res, err := g.Ensure(t.Context())
			if err != nil || res.Source != c.source || time.Since(start) != 0 || !near(sys.Now(), c.after, 0) ||
				w.count("192.0.2.1:123") != 0 {
				t.Errorf("%+v, %v after %v, clock %v", res, err, time.Since(start), sys.Now())
			}
			if c.synced {
				return
			}
			res, err = g.Retry(t.Context(), ignore)
			if err != nil || res.Source != FromNTP || time.Since(start) != 0 ||
				!near(sys.Now(), truth(), time.Millisecond) {
				t.Errorf("retry: %+v, %v after %v, clock %v", res, err, time.Since(start), sys.Now())
			}
		})
	}
}

// New options reach a gate at work at once: while it waits for the next round, for an answer, or in the grace time.
func TestReplace(t *testing.T) {
	for name, ask := range map[string]func(*Gate, *testing.T) (Result, error){
		"Ensure": func(g *Gate, t *testing.T) (Result, error) { return g.Ensure(t.Context()) },
		"Retry":  func(g *Gate, t *testing.T) (Result, error) { return g.Retry(t.Context(), ignore) },
	} {
		for _, wait := range []time.Duration{100 * time.Millisecond, 3 * time.Second, 10 * time.Second, 3 * time.Hour} {
			if name == "Ensure" && wait > usualGrace {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				wrong, w, truth, sys := newWorld(), newWorld(), from(today), clocktest.At(boot)
				wrong.piped("198.51.100.1:123", silent)
				w.piped("192.0.2.1:123", truth.honest())
				w.name("ntp.example.org", "192.0.2.1")
				g := wrong.virtualGate(sys, "", "198.51.100.1", "ntp.example.org")
				o := g.options()
				time.AfterFunc(wait, func() {
					o.Servers, o.Dial, o.Resolve = []string{"ntp.example.org"}, w.Dial, w.Resolve
					g.Replace(o)
				})
				start := time.Now()
				res, err := ask(g, t)
				if took := time.Since(start); err != nil || res.Source != FromNTP || took != wait ||
					!near(sys.Now(), truth(), time.Millisecond) {
					t.Errorf("%s, after %v: %+v, %v after %v", name, wait, res, err, took)
				}
			})
		}
	}
}

// Replaced by what is no better, the grace time does not begin anew.
func TestReplaceKeepsTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(today)
		w.piped("192.0.2.1:123", silent)
		g := w.virtualGate(sys, "", "192.0.2.1")
		time.AfterFunc(7*time.Second, func() { g.Replace(g.options()) })
		start := time.Now()
		res, err := g.Ensure(t.Context())
		if err != nil || res.Source != Unverified || time.Since(start) != usualGrace {
			t.Errorf("%+v, %v after %v", res, err, time.Since(start))
		}
	})
}

// The file's own time is bounded like the kept one.
func TestKeptFileTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-time")
	sys := clocktest.At(day(2037, 1, 1))
	sys.SetSynchronised(true, nil)
	if res, err := newWorld().virtualGate(sys, file).Ensure(t.Context()); err != nil || res.FloorErr != nil {
		t.Fatal(err, res.FloorErr)
	}
	info, err := os.Stat(file)
	if err != nil || !info.ModTime().Equal(build.AddDate(1, 0, 0)) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}

// Who counts as another source, and what begins anew.
func TestClaims(t *testing.T) {
	a, b, six := netip.MustParseAddrPort("192.0.2.1:123"), netip.MustParseAddrPort("192.0.2.2:123"),
		netip.MustParseAddrPort("[2001:db8::1]:123")
	type said struct {
		server     string
		addr       netip.AddrPort
		off, after time.Duration
		want       bool
	}
	const ms, s = time.Millisecond, time.Second
	for name, all := range map[string][]said{
		"one address": {{"n", a, 0, 0, false}, {"n", a, 0, s, false}, {"n", a, 0, 4 * s, false},
			{"n", a, 0, 4999 * ms, false}, {"n", a, 0, 5 * s, true}},
		"twice is not enough": {{"n", a, 0, 0, false}, {"n", a, 0, 60 * s, false}, {"n", a, 0, 61 * s, true}},
		"begun anew": {{"n", a, 0, 0, false}, {"n", a, 0, 3 * s, false},
			{"n", a, time.Hour, 4 * s, false}, {"n", a, 0, 5 * s, false}, {"n", a, 0, 6 * s, false}},
		"a clock that stands still": {{"n", a, 0, 0, false}, {"n", a, -3 * s, 3 * s, false},
			{"n", a, -6 * s, 6 * s, false}, {"n", a, -9 * s, 9 * s, false}},
		"another address of the name": {{"n", a, 0, 0, false}, {"n", b, 500 * ms, s, true}},
		"another that differs":        {{"n", a, 0, 0, false}, {"n", b, 2 * s, s, false}},
		"the other family": {{"n", a, 0, 0, false}, {"n", six, 0, s, false}, {"n", a, 0, 2 * s, false},
			{"n", six, 0, 5 * s, true}},
		"another name":           {{"n", a, 0, 0, false}, {"m", b, 0, s, true}},
		"two names, one address": {{"n", a, 0, 0, false}, {"m", a, 0, s, false}, {"n", a, 0, 2 * s, false}},
		"signed, too":            {{"n", a, 0, 0, false}, {"config", netip.AddrPort{}, 0, s, true}},
		"signed twice": {{"config", netip.AddrPort{}, 0, 0, false},
			{"config", netip.AddrPort{}, 0, s, false}},
		"signed by two": {{"config", netip.AddrPort{}, 0, 0, false},
			{"config2", netip.AddrPort{}, 0, s, true}},
	} {
		g := New(Options{})
		start := time.Now()
		for i, c := range all {
			if got := g.repeated(claim{server: c.server, addr: c.addr, time: today.Add(c.after + c.off),
				at: start.Add(c.after)}); got != c.want {
				t.Errorf("%s: claim %d: %v", name, i, got)
			}
		}
	}
}
