package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/clock/clocktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	build = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	boot  = time.Date(1970, 1, 1, 0, 0, 12, 0, time.UTC)
	today = time.Date(2026, 8, 15, 12, 0, 0, 0, time.UTC)
)

// gate makes a Gate on the world's servers that gives each of them ample time.
func (w *world) gate(sys System, floorFile string, servers ...string) *Gate {
	g := New(Options{System: sys, Servers: servers, Grace: time.Minute, Build: build, FloorFile: floorFile,
		Dial: w.Dial, Resolve: w.Resolve})
	g.patience = func(int) time.Duration { return 20 * time.Second }
	return g
}

// slack is how wrong a clock may be that was set over real sockets on a busy machine; virtual time has none.
const slack = 5 * time.Second

func near(a, b time.Time, most time.Duration) bool { return a.Sub(b).Abs() <= most }

func lines(res Result) string {
	var b strings.Builder
	for _, r := range res.Refused {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestKernelIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		now     time.Time
		synced  bool
		err     error
		want    Source
		refused string
	}{
		"synchronised": {today, true, nil, FromKernel, ""},
		"synchronised to 1970": {boot, true, nil, FromNTP,
			"kernel: its clock is synchronised, yet earlier than can be, before 2026-01-01T00:00:00Z: 1970-01-01T00:0"},
		"not synchronised": {today, false, nil, FromNTP, ""},
		"cannot tell": {today, false, errors.New("adjtimex: function not implemented"), FromNTP,
			"kernel: cannot tell whether its clock is synchronised: adjtimex: function not implemented"},
		"synchronised, far away": {today.AddDate(20, 0, 0), true, nil, FromKernel,
			"kernel: not kept as the last known time: later than can be, after 2041-06-01T00:00:00Z: 2046-08-15T12:0"},
	} {
		t.Run(name, func(t *testing.T) {
			w, sys, file := newWorld(), clocktest.At(c.now), filepath.Join(t.TempDir(), "last-time")
			w.serve(t, "192.0.2.1:123", from(today).honest())
			sys.SetSynchronised(c.synced, c.err)
			res, err := w.gate(sys, file, "192.0.2.1").Ensure(background(t))
			if err != nil || res.Source != c.want || !strings.HasPrefix(lines(res), c.refused) ||
				(c.refused == "") != (len(res.Refused) == 0) || len(res.Refused) > 1 {
				t.Errorf("source %s, error %v, refused\n%s", res.Source, err, lines(res))
			}
			if asked := w.count("192.0.2.1:123") > 0; asked != (c.want == FromNTP) {
				t.Errorf("server asked: %v", asked)
			}
			_, err = os.Stat(file)
			if kept := err == nil; kept != !strings.Contains(c.refused, "not kept") {
				t.Errorf("time kept: %v", kept)
			}
		})
	}
}

func TestStep(t *testing.T) {
	for name, c := range map[string]struct {
		now  time.Time
		step bool
	}{
		"boot":           {boot, true},
		"a year behind":  {today.AddDate(-1, 0, 0), true},
		"a day ahead":    {today.AddDate(0, 0, 1), true},
		"a minute ahead": {today.Add(time.Minute), true},
		"before the era": {time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC), true},
		"far future":     {time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), true},
	} {
		t.Run(name, func(t *testing.T) {
			w, truth, sys := newWorld(), from(today), clocktest.At(c.now)
			w.serve(t, "192.0.2.1:123", truth.honest())
			w.name("ntp.example.org", "192.0.2.1")
			res, err := w.gate(sys, "", "ntp.example.org").Ensure(background(t))
			if err != nil || res.Source != FromNTP || res.Stepped != c.step || len(res.Refused) > 0 {
				t.Fatalf("%+v, %v", res, err)
			}
			if res.Server != "ntp.example.org" || res.Address.String() != "192.0.2.1:123" {
				t.Errorf("server %s (%v)", res.Server, res.Address)
			}
			if want := today.Sub(c.now); (res.Offset - want).Abs() > slack {
				t.Errorf("offset %v, want %v", res.Offset, want)
			}
			if len(sys.Steps()) > 0 != c.step {
				t.Errorf("steps %v", sys.Steps())
			}
			if c.step && !near(sys.Now(), truth(), slack) {
				t.Errorf("clock shows %v, want %v", sys.Now(), truth())
			}
		})
	}
}

func TestStepFails(t *testing.T) {
	w, sys, file := newWorld(), clocktest.At(boot), filepath.Join(t.TempDir(), "last-time")
	w.serve(t, "192.0.2.1:123", from(today).honest())
	sys.RefuseSteps(os.ErrPermission)
	res, err := w.gate(sys, file, "192.0.2.1").Ensure(background(t))
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "2026-08-15T12:0") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	if res.Source != Unverified || res.Stepped || res.Offset < 50*365*24*time.Hour {
		t.Errorf("%+v", res)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a time is kept that the clock does not have")
	}
}

// Each way to lie, over real UDP. A single server that lies is not believed, and named.
func TestRefused(t *testing.T) {
	truth := from(today)
	for name, c := range map[string]struct {
		lie  respond
		want string
	}{
		"kiss RATE": {truth.kiss("RATE"), `kiss of death (stratum 0): "RATE"`},
		"kiss DENY": {truth.kiss("DENY"), `kiss of death (stratum 0): "DENY"`},
		"kiss without time": {truth.honest(func(p []byte) { p[1] = 0; copy(p[12:], "RSTR"); clear(p[32:48]) }),
			`kiss of death (stratum 0): "RSTR"`},
		"kiss in the dark": {truth.honest(func(p []byte) { p[1] = 0; copy(p[12:], "\n\x1b[m") }),
			`kiss of death (stratum 0): "\n\x1b[m"`},
		"stratum 0": {truth.honest(func(p []byte) { p[1] = 0; clear(p[12:16]) }),
			`kiss of death (stratum 0): "\x00\x00\x00\x00"`},
		"stratum 16":  {truth.honest(func(p []byte) { p[1] = 16 }), "stratum too high: stratum 16,"},
		"stratum 255": {truth.honest(func(p []byte) { p[1] = 255 }), "stratum too high: stratum 255,"},
		"1970":        {from(boot).honest(), "earlier than can be, before 2026-01-01T00:00:00Z: 1970-01-01T00:0"},
		"before the build": {from(build.Add(-time.Hour)).honest(),
			"before the last known time 2026-06-01T00:00:00Z: 2026-05-31T23:0"},
		"20 years ahead": {from(today.AddDate(20, 0, 0)).honest(),
			"later than can be, after 2041-06-01T00:00:00Z: "},
		"not synchronised": {truth.honest(func(p []byte) { p[0] |= 3 << 6 }),
			"not synchronised: stratum 2, leap indicator 3,"},
		"stale": {truth.honest(func(p []byte) {
			binary.BigEndian.PutUint64(p[16:],
				ntpTime(today.AddDate(0, 0, -3)))
		}), "clock set too long ago: "},
		"set in the future": {truth.honest(func(p []byte) {
			binary.BigEndian.PutUint64(p[16:],
				ntpTime(today.AddDate(0, 0, 3)))
		}),
			"clock set after the answer: "},
		"far from its source": {truth.honest(func(p []byte) { binary.BigEndian.PutUint32(p[8:], 20<<16) }),
			"root distance too large: "},
		"ticks backwards": {truth.honest(func(p []byte) {
			binary.BigEndian.PutUint64(p[32:],
				ntpTime(today.AddDate(1, 0, 0)))
		}),
			"query failed: the answer was sent before the question came in"},
		"no time": {truth.honest(func(p []byte) { clear(p[32:48]) }), "query failed: the answer has no time"},
		"another mode": {truth.honest(func(p []byte) { p[0] = 4<<3 | 5 }),
			"query failed: not the answer of a server, but of mode 5"},
		"wrong origin": {truth.honest(func(p []byte) { binary.BigEndian.PutUint64(p[24:], 0xfeedface) }),
			"no answer within WAIT: dropped a packet that answers no question of ours, origin timestamp 0xfeedface"},
		"truncated": {func(q []byte) [][]byte { return [][]byte{reply(q, truth())[:47]} },
			"no answer within WAIT: dropped a packet of 47 bytes, an answer has at least 48"},
		"empty packet": {func(q []byte) [][]byte { return [][]byte{{}} },
			"no answer within WAIT: dropped a packet of 0 bytes, an answer has at least 48"},
		"garbage": {func(q []byte) [][]byte { return [][]byte{[]byte(strings.Repeat("garbage ", 20))} },
			"no answer within WAIT: dropped a packet that answers no question of ours, origin timestamp " +
				"0x6761726261676520"},
		"echo": {func(q []byte) [][]byte { return [][]byte{q} },
			"no answer within WAIT: dropped a packet that answers no question of ours"},
		"silent": {silent, "no answer within WAIT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, sys := newWorld(), clocktest.At(boot)
			w.serve(t, "192.0.2.1:123", c.lie)
			w.name("liar.example.org", "192.0.2.1")
			// On a busy machine an answer may be late: then ask again, with more patience.
			for wait := 200 * time.Millisecond; ; wait *= 2 {
				g := w.gate(sys, "", "liar.example.org")
				g.patience = func(int) time.Duration { return wait }
				res, err := g.Check(background(t))
				if err != nil || res.Source != Unverified {
					t.Fatalf("%+v, %v", res, err)
				}
				want := "liar.example.org (192.0.2.1:123): " + strings.ReplaceAll(c.want, "WAIT", wait.String())
				got := lines(res)
				if strings.HasPrefix(got, want) && strings.Count(got, "\n") == 1 {
					return
				}
				if wait > 5*time.Second {
					t.Fatalf("refused %q, want %q", got, want)
				}
			}
		})
	}
}

// No server listens there, and the kernel says so at once.
func TestClosedPort(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := conn.LocalAddr().String()
	conn.Close()
	g := New(Options{System: clocktest.At(boot), Servers: []string{server}, Build: build})
	g.patience = func(int) time.Duration { return time.Hour }
	res, err := g.Check(background(t))
	if want := server + ": query failed: read: connection refused\n"; err != nil || lines(res) != want {
		t.Errorf("refused %q, want %q (%v)", lines(res), want, err)
	}
}

// What does not answer the question does not shut out the answer that follows.
func TestForgedPacketFirst(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", func(q []byte) [][]byte {
		forged := reply(q, truth().AddDate(1, 0, 0))
		copy(forged[24:32], "forged!!")
		return [][]byte{[]byte("short"), forged, reply(q, truth())}
	})
	res, err := w.gate(sys, "", "192.0.2.1").Ensure(background(t))
	if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), slack) {
		t.Errorf("%+v, %v: %v", res, err, sys.Now())
	}
}

func TestTwoFamilies(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"IPv6 blackhole":   func(w *world) { w.route("[2001:db8::1]:123", blackhole) },
		"IPv6 unreachable": func(w *world) { delete(w.routes, mustAddr("[2001:db8::1]:123")) },
		"IPv4 blackhole":   func(w *world) { w.route("192.0.2.1:123", blackhole) },
		"IPv4 unreachable": func(w *world) { delete(w.routes, mustAddr("192.0.2.1:123")) },
		"both fine":        func(w *world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w, truth, sys := newWorld(), from(today), clocktest.At(boot)
			w.serve(t, "192.0.2.1:123", truth.honest())
			w.serve(t, "[2001:db8::1]:123", truth.honest())
			w.name("ntp.example.org", "2001:db8::1", "192.0.2.1")
			spoil(w)
			res, err := w.gate(sys, "", "ntp.example.org").Ensure(background(t))
			if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), slack) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestOtherAddressesNextTime(t *testing.T) {
	w, truth, sys := newWorld(), from(today), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", truth.kiss("NKEY"))
	w.serve(t, "192.0.2.2:123", truth.honest())
	w.name("pool.example.org", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2")
	res, err := w.gate(sys, "", "pool.example.org").Ensure(background(t))
	if err != nil || res.Source != FromNTP || res.Address.String() != "192.0.2.2:123" {
		t.Errorf("%+v, %v", res, err)
	}
	if n := w.count("192.0.2.1:123"); n != 1 {
		t.Errorf("the first address was asked %d times", n)
	}
}

func TestChoose(t *testing.T) {
	g := New(Options{})
	g.keepQuiet(mustAddr("192.0.2.9:123"), time.Hour)
	for round, want := range []string{
		"[[2001:db8::1]:123 192.0.2.1:123]", "[[2001:db8::2]:123 192.0.2.2:123]", "[[2001:db8::1]:123 192.0.2.3:123]",
		"[[2001:db8::2]:123 192.0.2.1:123]",
	} {
		var addrs []netip.Addr
		for _, a := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.9",
			"2001:db8::2", "192.0.2.3"} {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		targets, _ := g.choose(append(addrs, netip.Addr{}), 123, round)
		if got := fmt.Sprint(targets); got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	w, sys := newWorld(), clocktest.At(today)
	w.name("empty.example.org")
	w.route("192.0.2.7:99", func(context.Context) (net.Conn, error) { return nil, os.ErrPermission })
	res, err := w.gate(sys, "", "unknown.example.org", "empty.example.org", "a:b:c", "192.0.2.7:99",
		"198.51.100.1").Check(background(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `unknown.example.org: its name cannot be resolved: no such host unknown.example.org
empty.example.org: its name has no address
a:b:c: not a server: write "host", "host:port" or "[v6]:port"
192.0.2.7:99: query failed: permission denied
198.51.100.1: query failed: network is unreachable
`
	if got := lines(res); got != want {
		t.Errorf("refused\n%s", got)
	}
	res, err = w.gate(sys, "").Ensure(background(t))
	if err != nil || res.Source != Unverified || lines(res) != "ntp: no server is configured\n" {
		t.Errorf("no server: %+v, %v", res, err)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	w, sys, file := newWorld(), clocktest.At(boot), filepath.Join(t.TempDir(), "last-time")
	w.serve(t, "192.0.2.1:123", from(today).honest())
	g := w.gate(sys, file, "192.0.2.1")
	for _, synced := range []bool{false, true} {
		sys.SetSynchronised(synced, nil)
		res, err := g.Check(background(t))
		if err != nil || res.Source != FromNTP || res.Stepped || res.Offset < 50*365*24*time.Hour {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if len(sys.Steps()) > 0 {
		t.Error("the clock was set")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sys.SetSynchronised(false, nil)
	for name, f := range map[string]func(context.Context) (Result, error){"Check": g.Check, "Ensure": g.Ensure,
		"Retry": func(ctx context.Context) (Result, error) { return g.Retry(ctx, ignore) }} {
		if _, err := f(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if len(sys.Steps()) > 0 {
		t.Error("the clock was set for a caller that is gone")
	}
}

// The real clock: read only.
func TestKernel(t *testing.T) {
	var k Kernel
	if !near(k.Now(), time.Now(), time.Minute) {
		t.Errorf("the kernel's clock shows %v", k.Now())
	}
	if _, err := k.Synchronised(); err != nil {
		t.Error(err)
	}
	if err := k.Step(time.Unix(0, 0).Add(-1 << 62)); err == nil {
		t.Error("the kernel took a time before 1970")
	}
}

func ExampleRefusal() {
	fmt.Println(Refusal{From: "ntp.example.org (192.0.2.1:123)", Reason: "kiss of death (stratum 0)", Value: `"RATE"`})
	// Output: ntp.example.org (192.0.2.1:123): kiss of death (stratum 0): "RATE"
}
