package vclock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
	"wguplink/testbed/vclock"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		os.Exit(program(name))
	}
	netlab.Main(m.Run)
}

// prepared returns a copy of the test binary that reads its Clock.
var prepared = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	// The lab's /run goes with the lab.
	out := "/run/vclock.test"
	return out, vclock.Prepare(self, out)
})

type lab struct {
	ctx  context.Context
	host *netlab.Host
	path string
}

func newLab(t *testing.T) lab {
	t.Helper()
	path, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	l := netlab.New()
	t.Cleanup(func() {
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	host, err := l.Host("node")
	if err != nil {
		t.Fatal(err)
	}
	return lab{ctx, host, path}
}

func (l lab) start(t *testing.T, clock *vclock.Clock, helper string) *netlab.Process {
	t.Helper()
	p, err := l.host.Start(netlab.Command{Path: l.path, Clock: clock, Env: []string{noSleep, helperEnv + "=" + helper}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run returns what a helper reports.
func (l lab) run(t *testing.T, clock *vclock.Clock, helper string) (r report) {
	t.Helper()
	p := l.start(t, clock, helper)
	if err := p.Wait(l.ctx); err != nil {
		t.Fatalf("%v: %s", err, p.Lines())
	}
	if err := json.Unmarshal([]byte(strings.Join(p.Lines(), "\n")), &r); err != nil {
		t.Fatalf("%v: %s", err, p.Lines())
	}
	return r
}

// near reports whether two times are the same but for how long a test takes.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < 20*time.Second }

// unmoved fails the test when the machine's clock was set while it ran.
func unmoved(t *testing.T) {
	t.Helper()
	start := time.Now()
	t.Cleanup(func() {
		now := time.Now()
		// Wall against monotonic time.
		if off := now.Round(0).Sub(start.Round(0)) - now.Sub(start); off.Abs() > time.Second {
			t.Errorf("the machine's clock moved by %v", off)
		}
	})
}

func TestReadAndSet(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	past := time.Date(2012, 3, 4, 5, 6, 7, 0, time.UTC)
	clock := vclock.New(time.Until(past))
	stepped := make(chan vclock.Step, 16)
	clock.OnStep(func(s vclock.Step) { stepped <- s })

	r := l.run(t, clock, "read")
	for name, got := range r.Times {
		if !near(got, past) {
			t.Errorf("%s: %v, want about %v", name, got, past)
		}
	}
	if len(r.Times) < 6 {
		t.Errorf("only %d ways to read the clock: %v", len(r.Times), r.Times)
	}
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		t.Fatal(err)
	}
	if off := time.Duration(mono.Nano()) - r.Monotonic; off < 0 || off > 20*time.Second {
		t.Errorf("the program's monotonic clock is %v behind ours", off)
	}
	if len(clock.Steps()) != 0 {
		t.Errorf("steps by a program that only reads: %+v", clock.Steps())
	}

	for i, call := range []string{"clock_settime", "settimeofday", "adjtimex", "clock_adjtime"} {
		clock.Set(past)
		clock.SetSynchronised(true)
		r := l.run(t, clock, call)
		for _, name := range []string{"now", "child"} {
			if !near(r.Times[name], target) {
				t.Errorf("%s: %s: %v, want about %v", call, name, r.Times[name], target)
			}
		}
		if !near(clock.Now(), target) {
			t.Errorf("%s: clock at %v, want about %v", call, clock.Now(), target)
		}
		if clock.Synchronised() {
			t.Errorf("%s: still synchronised after a step", call)
		}
		steps := clock.Steps()
		if len(steps) != i+1 {
			t.Fatalf("%s: %d steps, want %d: %+v", call, len(steps), i+1, steps)
		}
		s := steps[i]
		if s.Call != call || s.PID != r.PID || !near(s.From, past) || !near(s.To, target) || !near(s.At, time.Now()) {
			t.Errorf("%s by %d: step %+v", call, r.PID, s)
		}
		if got := <-stepped; got != s {
			t.Errorf("%s: callback got %+v, want %+v", call, got, s)
		}
	}

	// A restart, as another program on the same clock, finds the time set.
	if r := l.run(t, clock, "read"); !near(r.Times["now"], target) {
		t.Errorf("after a restart: %v, want about %v", r.Times["now"], target)
	}
}

func TestRefused(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	clock := vclock.New(time.Hour)
	clock.SetSynchronised(true)
	want := map[string]string{
		"negative seconds":         unix.EINVAL.Error(),
		"too many nanoseconds":     unix.EINVAL.Error(),
		"far future":               unix.EINVAL.Error(),
		"another clock":            unix.EINVAL.Error(),
		"bad pointer":              unix.EFAULT.Error(),
		"bad pointer to read into": unix.EFAULT.Error(),
		"too many microseconds":    unix.EINVAL.Error(),
		"negative adjustment":      unix.EINVAL.Error(),
		"adjust another clock":     unix.EINVAL.Error(),
		"bad pointer to adjust":    unix.EFAULT.Error(),
		"time zone alone":          "",
	}
	if diff := cmp.Diff(want, l.run(t, clock, "refused").Errors); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if len(clock.Steps()) != 0 || clock.Offset() != time.Hour || !clock.Synchronised() {
		t.Errorf("the clock changed: offset %v, synchronised %v, steps %+v", clock.Offset(),
			clock.Synchronised(), clock.Steps())
	}
}

func TestSynchronised(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	clock := vclock.New(-time.Hour)
	for _, test := range []struct {
		set  func()
		want adjtime
	}{
		{func() {}, adjtime{unix.TIME_ERROR, true, 16_000_000}},
		{func() { clock.SetSynchronised(true) }, adjtime{0, false, 5_000}},
		{func() { clock.Jump(time.Minute) }, adjtime{0, false, 5_000}},
		{func() { clock.SetSynchronised(false) }, adjtime{unix.TIME_ERROR, true, 16_000_000}},
	} {
		test.set()
		r := l.run(t, clock, "status")
		if r.Adjtime != test.want {
			t.Errorf("adjtimex: %+v, want %+v", r.Adjtime, test.want)
		}
		if !near(r.Times["adjtimex"], clock.Now()) {
			t.Errorf("adjtimex: time %v, want about %v", r.Times["adjtimex"], clock.Now())
		}
	}
	// What an NTP daemon does once it is content.
	if r := l.run(t, clock, "synchronise"); r.Adjtime != (adjtime{0, false, 1234}) {
		t.Errorf("adjtimex after the program's own setting: %+v", r.Adjtime)
	}
	if !clock.Synchronised() {
		t.Error("the clock does not know that the program synchronised it")
	}
}

func TestExecs(t *testing.T) {
	l := newLab(t)
	clock := vclock.New(0)
	calls := make(chan vclock.Exec, 16)
	clock.OnExec(func(e vclock.Exec) { calls <- e })
	if r := l.run(t, clock, "read"); len(clock.Execs()) != 0 {
		t.Fatalf("a program %+v that executes nothing: %+v", r, clock.Execs())
	}
	r := l.run(t, clock, "exec")
	execs := clock.Execs()
	type call struct {
		Path string
		Args []string
		PID  int
	}
	var got []call
	for _, e := range execs {
		if !near(e.At, time.Now()) {
			t.Errorf("time of %+v", e)
		}
		got = append(got, call{e.Path, e.Args, e.PID})
	}
	want := []call{
		{"/bin/true", []string{"/bin/true", "an argument", ""}, r.Child},
		{"/nowhere", []string{"/nowhere"}, r.PID},
		{"/dev/null", []string{"x"}, r.PID},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls of execve (-want +got):\n%s", diff)
	}
	var hooked []vclock.Exec
	for len(hooked) < len(execs) {
		select {
		case e := <-calls: // the last may come after the program's end
			hooked = append(hooked, e)
		case <-l.ctx.Done():
			t.Fatalf("%d of %d callbacks: %v", len(hooked), len(execs), context.Cause(l.ctx))
		}
	}
	if diff := cmp.Diff(execs, hooked); diff != "" {
		t.Errorf("callback (-want +got):\n%s", diff)
	}
}

// TestSharedAndKilled has several programs read and set one clock as fast as
// they can, kills them in the middle of it, and goes on with another.
func TestSharedAndKilled(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	clock := vclock.New(time.Hour)
	for range 4 {
		p := l.start(t, clock, "spin")
		if _, err := p.WaitLine(l.ctx, "spinning"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.host.Kill(l.ctx); err != nil {
		t.Fatal(err)
	}
	clock.Set(target)
	if r := l.run(t, clock, "read"); !near(r.Times["now"], target) {
		t.Errorf("after the kill: %v, want about %v", r.Times["now"], target)
	}
}

// TestSignals: a signal in the middle of a call does not make it happen twice.
func TestSignals(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	clock := vclock.New(0)
	l.run(t, clock, "signals")
	if n := len(clock.Steps()); n != sets {
		t.Errorf("%d steps for %d calls", n, sets)
	}
}

// TestUnprepared: without Prepare a program is still unable to set the
// machine's clock, and what it sets is kept.
func TestUnprepared(t *testing.T) {
	unmoved(t)
	l := newLab(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l.path = self
	r := l.run(t, nil, "clock_settime")
	if !near(r.Times["now"], time.Now()) {
		t.Errorf("the vDSO says %v, want the machine's %v", r.Times["now"], time.Now())
	}
	if !near(l.host.Clock().Now(), target) {
		t.Errorf("the host's clock is at %v, want about %v", l.host.Clock().Now(), target)
	}
}

func TestPrepare(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != len(after) || bytes.Equal(before, after) {
		t.Errorf("%d bytes before, %d after; want as many, and other ones", len(before), len(after))
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o755 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}

	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := vclock.Prepare("/bin/true", out); err == nil || !strings.Contains(err.Error(), "/bin/true") {
		t.Errorf("a program that is not Go's: %v", err)
	}
	if err := vclock.Prepare(path, out); err == nil {
		t.Error("preparing twice: no error")
	}
	if err := vclock.Prepare(filepath.Join(dir, "none"), out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if err := vclock.Prepare(self, filepath.Join(dir, "none", "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder to write to: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || !slices.Equal(entries, nil) {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
