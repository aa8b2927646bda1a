//go:build go1.25

package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/clock/clocktest"
)

// usualGrace is the default of option ntp_grace.
const usualGrace = 15 * time.Second

// piped puts a server behind an address without a socket: virtual time stands still while one waits for the network.
func (w *world) piped(target string, r respond) {
	w.route(target, func(context.Context) (net.Conn, error) { return pipe(r), nil })
}

// moments are when a server was asked, since it was made.
type moments struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
}

func newMoments() *moments { return &moments{start: time.Now()} }

// add notes one, and gives it and its number, from 1.
func (m *moments) add() (time.Duration, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = append(m.at, time.Since(m.start))
	return m.at[len(m.at)-1], len(m.at)
}

func (m *moments) all() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]time.Duration(nil), m.at...)
}

// virtualGate has the patience of the real one.
func (w *world) virtualGate(sys System, floorFile string, servers ...string) *Gate {
	return New(Options{System: sys, Servers: servers, Grace: usualGrace, Build: build, FloorFile: floorFile,
		Dial: w.Dial, Resolve: w.Resolve})
}

// No server answers: the grace period passes, and not more; a clock before the floor is stepped to it, nothing kept.
func TestGraceIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		now  time.Time
		step bool
	}{"boot": {boot, true}, "plausible": {today, false}} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "last-time")
			synctest.Test(t, func(t *testing.T) {
				w, sys := newWorld(), clocktest.At(c.now)
				w.piped("192.0.2.1:123", silent)
				w.name("silent.example.org", "192.0.2.1")
				start := time.Now()
				res, err := w.virtualGate(sys, file, "silent.example.org", "unknown.example.org",
					"198.51.100.1").Ensure(t.Context())
				if err != nil || res.Source != Unverified || res.Stepped != c.step {
					t.Fatalf("%+v, %v", res, err)
				}
				if took := time.Since(start); took != usualGrace {
					t.Errorf("took %v", took)
				}
				if asked := w.count("192.0.2.1:123"); asked < 3 || asked > 6 {
					t.Errorf("asked %d times", asked)
				}
				const want = "silent.example.org (192.0.2.1:123): no answer within "
				if got := lines(res); !strings.HasPrefix(got, want) ||
					!strings.Contains(got, "\nunknown.example.org: ") ||
					!strings.Contains(got, "\n198.51.100.1: query failed: network is unreachable\n") {
					t.Errorf("refused\n%s", got)
				}
				if c.step && (len(sys.Steps()) != 1 || !sys.Steps()[0].Equal(build) || res.Offset <= 0) {
					t.Errorf("steps %v, offset %v", sys.Steps(), res.Offset)
				}
				if _, err := os.Stat(file); err == nil {
					t.Error("an unverified time is kept")
				}
			})
		})
	}
}

// A clock that cannot even be set to the floor is told.
func TestFloorStepFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(boot)
		sys.RefuseSteps(os.ErrPermission)
		res, err := w.virtualGate(sys, "", "198.51.100.1").Ensure(t.Context())
		if !errors.Is(err, os.ErrPermission) || res.Source != Unverified || res.Stepped {
			t.Errorf("%+v, %v", res, err)
		}
	})
}

// Ensure takes an answer that comes late in the grace period, and a lone answer at its end although others are awaited.
func TestWithinGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		start := time.Now()
		w.piped("192.0.2.1:123", func(q []byte) [][]byte {
			if time.Since(start) < 6*time.Second {
				return nil
			}
			return [][]byte{reply(q, truth())}
		})
		w.piped("192.0.2.2:123", silent)
		res, err := w.virtualGate(sys, "", "192.0.2.1", "192.0.2.2").Ensure(t.Context())
		if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), time.Millisecond) {
			t.Errorf("%+v, %v", res, err)
		}
		if took := time.Since(start); took > usualGrace {
			t.Errorf("took %v", took)
		}
	})
}

// Of a round that the end of the grace period cuts short, the reasons are those of the round before.
func TestReasonsOfTheWholeRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(today)
		w.piped("192.0.2.1:123", silent)
		g := New(Options{System: sys, Servers: []string{"192.0.2.1"}, Grace: 3 * time.Second, Build: build,
			Dial: w.Dial, Resolve: w.Resolve})
		res, err := g.Ensure(t.Context())
		if err != nil || w.count("192.0.2.1:123") != 2 || lines(res) != "192.0.2.1: no answer within 2s\n" {
			t.Errorf("asked %d times, refused %q (%v)", w.count("192.0.2.1:123"), lines(res), err)
		}
	})
}

const never = time.Hour

// after delays an answer.
func after(d time.Duration, r respond) respond {
	if d == never {
		return silent
	}
	return func(q []byte) [][]byte {
		<-time.After(d)
		return r(q)
	}
}

// Two that agree are waited upon for a moment only; what comes in it may change the outcome.
func TestLinger(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		// When each server answers, and by how much it is off.
		servers [][2]time.Duration
		took    time.Duration
		best    string
		refused int
	}{
		"a silent third": {[][2]time.Duration{{10 * ms, 0}, {20 * ms, 0}, {never, 0}},
			20*ms + linger, "192.0.2.1", 0},
		"a late liar": {[][2]time.Duration{{10 * ms, 0}, {20 * ms, 0}, {90 * ms, time.Hour}},
			90 * ms, "192.0.2.1", 1},
		"all have spoken": {[][2]time.Duration{{10 * ms, 0}, {20 * ms, 0}}, 20 * ms, "192.0.2.1", 0},
		"outvoted meanwhile": {[][2]time.Duration{{10 * ms, time.Hour}, {20 * ms, time.Hour}, {30 * ms, 0},
			{40 * ms, 0}, {50 * ms, 0}}, 50 * ms, "192.0.2.3", 2},
		"a tie that the last breaks": {[][2]time.Duration{{10 * ms, time.Hour}, {20 * ms, time.Hour}, {30 * ms, 0},
			{40 * ms, 0}, {900 * ms, 0}, {never, 0}},
			900*ms + linger, "192.0.2.3", 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, truth, sys := newWorld(), from(today), clocktest.At(boot)
				var servers []string
				for i, s := range c.servers {
					server := fmt.Sprint("192.0.2.", i+1)
					servers = append(servers, server)
					w.piped(server+":123", after(s[0], truth.off(s[1]).honest()))
				}
				start := time.Now()
				res, err := w.virtualGate(sys, "", servers...).Ensure(t.Context())
				if took := time.Since(start); err != nil || took != c.took || len(res.Refused) != c.refused {
					t.Errorf("%+v, %v after %v", res, err, took)
				}
				// Those that agree differ by half their round trips only.
				if res.Server != c.best || !near(sys.Now(), truth(), time.Second) {
					t.Errorf("took the time of %s, clock %v, want %v", res.Server, sys.Now(), truth())
				}
			})
		})
	}
}

// The clock is stepped when it is off by more than a second, either way.
func TestStepThreshold(t *testing.T) {
	for off, step := range map[time.Duration]bool{0: false, 500 * time.Millisecond: false,
		-999 * time.Millisecond: false, 999 * time.Millisecond: false,
		1001 * time.Millisecond: true, -1001 * time.Millisecond: true} {
		synctest.Test(t, func(t *testing.T) {
			w, truth, sys := newWorld(), from(today), clocktest.At(today.Add(-off))
			w.piped("192.0.2.1:123", truth.honest())
			res, err := w.virtualGate(sys, "", "192.0.2.1").Ensure(t.Context())
			if err != nil || res.Source != FromNTP || res.Stepped != step || (res.Offset-off).Abs() > time.Microsecond {
				t.Errorf("off by %v: %+v, %v", off, res, err)
			}
			want := truth()
			if !step {
				want = want.Add(-off)
			}
			if !near(sys.Now(), want, time.Microsecond) {
				t.Errorf("off by %v: clock %v, want %v", off, sys.Now(), want)
			}
		})
	}
}

// A caller that leaves while an answer is there does not want the clock set any more.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(boot)
		w.piped("192.0.2.1:123", from(today).honest())
		w.piped("192.0.2.2:123", silent)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		res, err := w.virtualGate(sys, "", "192.0.2.1", "192.0.2.2").Ensure(ctx)
		if !errors.Is(err, context.Canceled) || res.Source != Unverified || len(sys.Steps()) > 0 ||
			time.Since(start) != time.Second {
			t.Errorf("%+v, %v after %v, steps %v", res, err, time.Since(start), sys.Steps())
		}
	})
}

// A Resolve or Dial that does not return holds up no other server.
func TestStuckResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.piped("192.0.2.1:123", truth.honest())
		stuck := make(chan struct{})
		w.route("192.0.2.2:123", func(context.Context) (net.Conn, error) {
			<-stuck
			return nil,
				os.ErrDeadlineExceeded
		})
		g := w.virtualGate(sys, "", "192.0.2.1", "192.0.2.2")
		start := time.Now()
		res, err := g.Ensure(t.Context())
		if took := time.Since(start); err != nil || res.Source != FromNTP || took > 5*time.Second {
			t.Errorf("%+v, %v after %v", res, err, took)
		}
		close(stuck)
	})
}

// Retry goes on until a server answers, ever more rarely, also when the wall clock jumps meanwhile.
func TestRetry(t *testing.T) {
	for name, jump := range map[string]time.Duration{"steady": 0, "clock jumps ahead": 10 * 24 * time.Hour,
		"clock jumps back": -10 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "last-time")
			synctest.Test(t, func(t *testing.T) {
				w, truth, sys := newWorld(), from(today), clocktest.At(today.Add(-time.Hour))
				moments := newMoments()
				w.piped("192.0.2.1:123", func(q []byte) [][]byte {
					at, n := moments.add()
					if at < time.Hour {
						if jump != 0 && n == 3 {
							sys.Step(sys.Now().Add(jump))
						}
						return nil
					}
					return [][]byte{reply(q, truth())}
				})
				res, err := w.virtualGate(sys, file, "192.0.2.1").Retry(t.Context(), ignore)
				if err != nil || res.Source != FromNTP || !res.Stepped || !near(sys.Now(), truth(), time.Millisecond) {
					t.Fatalf("%+v, %v, clock %v", res, err, sys.Now())
				}
				if kept, err := parseFloor(read(t, file)); err != nil || !kept.Equal(build.AddDate(0, loneStep, 0)) {
					t.Errorf("kept %v (%v)", kept, err)
				}
				asked := moments.all()
				var gaps []time.Duration
				for i := 1; i < len(asked); i++ {
					gaps = append(gaps, asked[i]-asked[i-1])
				}
				if gaps[0] > 5*time.Second || len(asked) < 15 || len(asked) > 40 {
					t.Errorf("asked at %v", asked)
				}
				for _, gap := range gaps[10:] {
					if gap < 2*time.Minute || gap > 5*time.Minute+10*time.Second {
						t.Errorf("asked at %v", asked)
					}
				}
			})
		})
	}
}

func TestRetrySeesTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(today)
		time.AfterFunc(20*time.Minute, func() { sys.SetSynchronised(true, nil) })
		start := time.Now()
		res, err := w.virtualGate(sys, "").Retry(t.Context(), ignore)
		if took := time.Since(start); err != nil || res.Source != FromKernel || took < 20*time.Minute ||
			took > 25*time.Minute {
			t.Errorf("%+v, %v after %v", res, err, took)
		}
	})
}

func ignore(Result) {}

// Each round in vain is told, with what was wrong in that one.
func TestRetryTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(today)
		moments := newMoments()
		w.piped("192.0.2.1:123", func(q []byte) [][]byte {
			switch _, n := moments.add(); n {
			case 1:
				return nil
			case 2:
				return [][]byte{reply(q, boot)}
			}
			return [][]byte{reply(q, truth())}
		})
		var told []string
		res, err := w.virtualGate(sys, "", "192.0.2.1").Retry(t.Context(), func(r Result) {
			if r.Source != Unverified {
				t.Errorf("told %+v", r)
			}
			told = append(told, lines(r))
		})
		if err != nil || res.Source != FromNTP {
			t.Errorf("%+v, %v", res, err)
		}
		if len(told) != 2 || !strings.Contains(told[0], "no answer") || !strings.Contains(told[1], "before") {
			t.Errorf("told %q", told)
		}
	})
}

func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, sys := newWorld(), clocktest.At(boot)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		res, err := w.virtualGate(sys, "", "198.51.100.1").Retry(ctx, ignore)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour || len(sys.Steps()) > 0 {
			t.Errorf("%+v, %v after %v", res, err, time.Since(start))
		}
		if !strings.Contains(lines(res), "198.51.100.1: query failed") {
			t.Errorf("refused\n%s", lines(res))
		}
	})
}

// A server that sends a kiss of death is left alone for the time that it asks for; another address of its name is not.
func TestKissIsHeeded(t *testing.T) {
	for code, want := range map[string]time.Duration{"RATE": quietRate, "DENY": quietDenied, "RSTR": quietDenied} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, truth, sys := newWorld(), from(today), clocktest.At(today)
				moments := newMoments()
				w.piped("192.0.2.1:123", func(q []byte) [][]byte {
					if _, n := moments.add(); n == 1 {
						return truth.kiss(code)(q)
					}
					return [][]byte{reply(q, truth())}
				})
				g := w.virtualGate(sys, "", "192.0.2.1")
				res, err := g.Ensure(t.Context())
				if err != nil || res.Source != Unverified ||
					!strings.HasPrefix(lines(res), "192.0.2.1: not asked, because it asked to be left alone: for ") {
					t.Errorf("%+v, %v", res, err)
				}
				res, err = g.Retry(t.Context(), ignore)
				if err != nil || res.Source != FromNTP {
					t.Errorf("%+v, %v", res, err)
				}
				if asked := moments.all(); len(asked) != 2 || asked[1] < want || asked[1] > want+5*time.Minute {
					t.Errorf("asked at %v", asked)
				}
			})
		})
	}
}

// The file is written when the kept time is a week old, however often the clock is verified.
func TestWritesAreRare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last-time")
	synctest.Test(t, func(t *testing.T) {
		sys := clocktest.At(today)
		sys.SetSynchronised(true, nil)
		g := newWorld().virtualGate(sys, file)
		writes, last := 0, ""
		for hour := 0; hour < 30*24; hour++ {
			if res, err := g.Ensure(t.Context()); err != nil || res.FloorErr != nil {
				t.Fatal(res.FloorErr, err)
			}
			if text := read(t, file); text != last {
				writes, last = writes+1, text
			}
			<-time.After(time.Hour)
		}
		if writes != 5 {
			t.Errorf("%d writes in 30 days", writes)
		}
	})
}

// The line is slow: a round trip of five seconds is within the patience of the later rounds.
func TestSlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.piped("192.0.2.1:123", func(q []byte) [][]byte {
			<-time.After(2500 * time.Millisecond)
			p := reply(q, truth())
			<-time.After(2500 * time.Millisecond)
			return [][]byte{p}
		})
		res, err := w.virtualGate(sys, "", "192.0.2.1").Retry(t.Context(), ignore)
		if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), time.Millisecond) {
			t.Errorf("%+v, %v, clock %v, want %v", res, err, sys.Now(), truth())
		}
	})
}

// The second era of NTP begins in February 2036.
func TestNextEra(t *testing.T) {
	later := time.Date(2037, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, now := range []time.Time{boot, later.Add(-time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			w, truth, sys := newWorld(), from(later), clocktest.At(now)
			w.piped("192.0.2.1:123", truth.honest())
			res, err := w.virtualGate(sys, "", "192.0.2.1").Ensure(t.Context())
			if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), time.Millisecond) {
				t.Errorf("%+v, %v, clock %v", res, err, sys.Now())
			}
		})
	}
}
