//go:build go1.25

package clock

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/clock/clocktest"
	"wguplink/agent/slog"
)

// noWay leads to no server.
type noWay struct{}

func (noWay) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no way")
}
func (noWay) Resolve(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no way") }

// keeping is a keeper with its surroundings.
type keeping struct {
	*Keeper
	sys *clocktest.System
	log bytes.Buffer
}

func keep(t *testing.T, now time.Time, s Settings) *keeping {
	k := &keeping{sys: clocktest.At(now)}
	k.Keeper = NewKeeper(Watch(k.sys), Options{Build: build, FloorFile: filepath.Join(t.TempDir(), "last-time")},
		slog.New(slog.NewTextHandler(&k.log, nil)))
	k.Configure(s, noWay{})
	return k
}

// run runs the job wanted to its end, as the loop does.
func (k *keeping) run(t *testing.T) {
	t.Helper()
	j, ok := k.Job()
	if !ok {
		t.Fatal("nothing is asked")
	}
	k.Take(j.Run(t.Context(), k.Take))
}

func TestKeeperAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, today, Settings{Grace: time.Second})
		k.sys.SetSynchronised(true, nil)
		k.Update(false)
		if _, ok := k.Job(); ok || k.Passed() || k.Says() != "" {
			t.Error("asked without a way")
		}
		k.Update(true)
		first, _ := k.Job()
		k.Update(true)
		if again, ok := k.Job(); !ok || again != first {
			t.Error("asked anew while it is under way")
		}
		k.Update(false) // the way is gone: the grace period begins anew
		if _, ok := k.Job(); ok {
			t.Error("goes on asking without a way")
		}
		k.Update(true)
		if second, ok := k.Job(); !ok || second == first {
			t.Error("the second question is the first")
		}
		k.run(t)
		if _, ok := k.Job(); ok || !k.Passed() || k.Says() != "synchronised, says the kernel" {
			t.Errorf("passed %v, says %q", k.Passed(), k.Says())
		}
		k.Update(false)
		k.Update(true)
		if _, ok := k.Job(); ok {
			t.Error("asked again with another way, although the time is known")
		}
	})
}

// A reload reaches the question under way, and the one that is repeated.
func TestKeeperReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, today, Settings{Servers: []string{"192.0.2.1"}})
		k.Update(true)
		first, _ := k.Job()
		k.Configure(Settings{Servers: []string{"192.0.2.1"}}, noWay{})
		if j, _ := k.Job(); j != first {
			t.Error("the same settings ask anew")
		}
		for _, s := range []Settings{
			{Servers: []string{"192.0.2.2"}}, {Servers: []string{"192.0.2.2"}, Mark: 1},
			{Servers: []string{"192.0.2.2"}, Mark: 1, Grace: time.Second},
			{Servers: []string{"192.0.2.2"}, Mark: 1, Grace: time.Second,
				DNS: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}},
		} {
			before, _ := k.Job()
			k.Configure(s, noWay{})
			if j, ok := k.Job(); !ok || j == before {
				t.Errorf("%+v does not reach the question", s)
			}
		}
		k.run(t)
		if !k.Passed() || !strings.HasPrefix(k.Says(), "not verified: 192.0.2.2") {
			t.Errorf("passed %v, says %q", k.Passed(), k.Says())
		}
		retry, ok := k.Job()
		if !ok {
			t.Fatal("not asked again")
		}
		k.Configure(Settings{Servers: []string{"192.0.2.3"}}, noWay{})
		if j, _ := k.Job(); j == retry {
			t.Error("the retry goes on with the old server")
		}
		k.sys.SetSynchronised(true, nil)
		k.run(t)
		if _, ok := k.Job(); ok || k.Says() != "synchronised, says the kernel" {
			t.Errorf("says %q", k.Says())
		}
	})
}

// Rounds in vain tell what is wrong now.
func TestKeeperSaysWhatIsWrong(t *testing.T) {
	k := keep(t, today, Settings{})
	k.Update(true)
	k.Take(Answer{Result: Result{Source: Unverified, Refused: []Refusal{{From: "a", Reason: "no answer"}}},
		Final: true})
	if k.Says() != "not verified: a: no answer" {
		t.Errorf("says %q", k.Says())
	}
	k.Take(Answer{Result: Result{Source: Unverified, Refused: []Refusal{{From: "a", Reason: "mad"}}}})
	if k.Says() != "not verified: a: mad" {
		t.Errorf("says %q", k.Says())
	}
	k.Take(Answer{Result: Result{Source: FromNTP, Server: "a", Offset: time.Hour, Stepped: true,
		FloorErr: errors.New("full")}, Final: true})
	if k.Says() != "set by 1h0m0s, from a" || !strings.Contains(k.log.String(), "cannot be kept") {
		t.Errorf("says %q, log %s", k.Says(), &k.log)
	}
	k.Take(Answer{Err: errors.New("cannot be set"), Result: Result{Source: FromNTP}, Final: true})
	if k.Says() != "cannot be set" || !k.Passed() {
		t.Errorf("says %q", k.Says())
	}
}

func TestKeeperDoubts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, today, Settings{Grace: time.Second})
		k.sys.SetSynchronised(true, nil)
		k.Update(true)
		k.run(t)
		if err := k.sys.Step(today.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		k.Update(false)
		if _, ok := k.Job(); ok {
			t.Error("asked without a way")
		}
		k.Update(true)
		if _, ok := k.Job(); !ok {
			t.Fatal("a step by another program is not doubted")
		}
		k.run(t)
		if !strings.HasPrefix(k.Says(), "not verified") { // the kernel's word counts for nothing
			t.Errorf("says %q", k.Says())
		}
	})
}

func TestKeeperSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, boot, Settings{Servers: []string{"192.0.2.1"}, Grace: time.Second})
		k.Update(true)
		k.Signed(time.Time{}, "https://c")
		k.Signed(Earliest.AddDate(-1, 0, 0), "https://c")
		if k.Passed() || !strings.Contains(k.log.String(), "is not used") {
			t.Errorf("a time before the build is taken; log %s", &k.log)
		}
		k.Signed(today, "https://c")
		if !k.Passed() || !strings.Contains(k.Says(), "from the signed configuration of https://c") {
			t.Errorf("says %q", k.Says())
		}
		// Servers are more exact: they are still asked, and what they cannot say changes nothing.
		k.run(t)
		if _, ok := k.Job(); !ok || !strings.Contains(k.Says(), "signed") {
			t.Errorf("says %q", k.Says())
		}
		k.Signed(today.Add(time.Hour), "https://c")
		if len(k.sys.Steps()) != 1 {
			t.Errorf("set %d times", len(k.sys.Steps()))
		}
	})
}

// Without a grace period the uplink goes on at once; the question goes on, too.
func TestNoGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, today, Settings{Servers: []string{"192.0.2.1"}})
		k.Update(true)
		began := time.Now()
		k.run(t)
		if _, ok := k.Job(); !ok || !k.Passed() || time.Since(began) != 0 {
			t.Errorf("passed %v after %v", k.Passed(), time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		j, _ := k.Job()
		if a := j.Run(ctx, k.Take); a.Err == nil || !a.Final {
			t.Errorf("%+v", a)
		}
	})
}

// A signed time before the floor is used once it is repeated, though questions begin and end meanwhile; until then the
// log has it once.
func TestKeeperSignedRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, boot, Settings{Servers: []string{"192.0.2.1"}, Grace: time.Second})
		write(t, k.fixed.FloorFile, "2030-01-01T00:00:00Z\n")
		k.Signed(today, "https://c")
		k.Update(true)
		time.Sleep(time.Minute)
		k.Signed(today.Add(time.Minute), "https://c")
		if k.Passed() || strings.Count(k.log.String(), "is not used") != 1 {
			t.Errorf("passed %v, log %s", k.Passed(), &k.log)
		}
		k.Configure(Settings{Servers: []string{"192.0.2.2"}, Grace: time.Second}, noWay{})
		time.Sleep(time.Minute)
		k.Signed(today.Add(2*time.Minute), "https://c")
		if !k.Passed() || !strings.Contains(k.Says(), "from the signed configuration of https://c") {
			t.Errorf("passed %v, says %q", k.Passed(), k.Says())
		}
	})
}

// A clock that cannot be set is said once, however long it stays so.
func TestKeeperCannotSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, truth := newWorld(), from(today)
		w.piped("192.0.2.1:123", truth.honest())
		k := keep(t, today.Add(-time.Hour), Settings{})
		k.sys.RefuseSteps(errors.New("clock_settime: operation not permitted"))
		k.Configure(Settings{Servers: []string{"192.0.2.1"}, Grace: time.Second}, worldWay{w})
		k.Update(true)
		k.run(t)
		time.AfterFunc(24*time.Hour, func() { k.sys.SetSynchronised(true, nil) })
		j, ok := k.Job()
		if !ok || !k.Passed() || !strings.Contains(k.Says(), "cannot be set") {
			t.Fatalf("passed %v, says %q", k.Passed(), k.Says())
		}
		rounds := 0
		a := j.Run(t.Context(), func(a Answer) {
			rounds++
			k.Take(a)
			if !strings.HasPrefix(k.Says(), "not verified: clock: cannot be set: clock_settime") {
				t.Errorf("says %q", k.Says())
			}
		})
		k.Take(a)
		if lines := strings.Count(k.log.String(), "\n"); lines != 2 || rounds < 20 || rounds > 60 ||
			w.count("192.0.2.1:123") > 61 {
			t.Errorf("%d rounds, asked %d times, log\n%s", rounds, w.count("192.0.2.1:123"), &k.log)
		}
	})
}

// worldWay leads to the servers of a world.
type worldWay struct{ w *world }

func (w worldWay) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return w.w.Dial(ctx, network, address)
}
func (w worldWay) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return w.w.Resolve(ctx, host)
}
