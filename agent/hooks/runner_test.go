package hooks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/json"
)

func TestEvent(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("tell",
		`env | grep ^WGUPLINK_ | sort >$SCRATCH/env; cat >$SCRATCH/stdin; echo "$# $1" >$SCRATCH/args; pwd >>$SCRATCH/args`)
	t.Setenv("WGUPLINK_GATEWAY", "from another program")
	b.start()

	b.Post(Event{Event: Down, Uplink: "mesh"})
	b.next()
	if diff := cmp.Diff("WGUPLINK_EVENT=down\nWGUPLINK_UPLINK=mesh\n", b.read("env")); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(`{"event":"down","uplink":"mesh"}`+"\n", b.read("stdin")); diff != "" {
		t.Errorf("standard input (-want +got):\n%s", diff)
	}

	b.Post(Event{Event: Up, Uplink: "mesh", Protocol: "parker", Interface: "wg_c5", Gateway: "c5",
		GatewayKey: "gk=", PublicKey: "pk=",
		MTU: 1375, ClientMTU: 1340, Address4: "10.1.0.1", Address6: "2001:db8::1", Range4: "10.1.0.0/22",
		Range6:     "2001:db8::/64",
		XlatRange6: "64:ff9b::/96", ID: "7", Config: json.RawMessage(`{"nonce":"é","id":7}`)})
	b.next()
	want := `WGUPLINK_ADDRESS4=10.1.0.1
WGUPLINK_ADDRESS6=2001:db8::1
WGUPLINK_CLIENT_MTU=1340
WGUPLINK_EVENT=up
WGUPLINK_GATEWAY=c5
WGUPLINK_GATEWAY_KEY=gk=
WGUPLINK_ID=7
WGUPLINK_INTERFACE=wg_c5
WGUPLINK_MTU=1375
WGUPLINK_PROTOCOL=parker
WGUPLINK_PUBLIC_KEY=pk=
WGUPLINK_RANGE4=10.1.0.0/22
WGUPLINK_RANGE6=2001:db8::/64
WGUPLINK_UPLINK=mesh
WGUPLINK_XLAT_RANGE6=64:ff9b::/96
`
	if diff := cmp.Diff(want, b.read("env")); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	want = `{"event":"up","uplink":"mesh","protocol":"parker","interface":"wg_c5","gateway":"c5","gateway_key":"gk=",` +
		`"public_key":"pk=","mtu":1375,"client_mtu":1340,"address4":"10.1.0.1","address6":"2001:db8::1","range4":"10.1.0.0/22",` +
		`"range6":"2001:db8::/64","xlat_range6":"64:ff9b::/96","id":"7","config":{"nonce":"é","id":7}}` + "\n"
	if diff := cmp.Diff(want, b.read("stdin")); diff != "" {
		t.Errorf("standard input (-want +got):\n%s", diff)
	}
	if got := b.read("args"); got != "1 up\n/\n" {
		t.Errorf("arguments and folder: %q", got)
	}
	b.stop()
	if all := b.log(); len(all) != 0 {
		t.Errorf("hooks that say nothing and succeed are in the log: %+v", all)
	}
}

func TestEnvironWithoutPath(t *testing.T) {
	t.Setenv("PATH", "")
	os.Unsetenv("PATH")
	if env := (Event{}).environ(); !strings.Contains(strings.Join(env, "\n"), fallbackPath) {
		t.Errorf("%q", env)
	}
}

// One hook at a time, in order of their names, for all uplinks.
func TestSerial(t *testing.T) {
	b := newBench(t, Options{})
	const script = `mkdir $SCRATCH/busy || exit 9; echo "$WGUPLINK_UPLINK $1 ${0##*/}" >>$SCRATCH/order; rmdir $SCRATCH/busy`
	for _, name := range []string{"9", "10-b", "B", "a", "10-a"} {
		b.hook(name, script)
	}
	b.start()
	b.Post(Event{Event: Up, Uplink: "x"})
	b.Post(Event{Event: Up, Uplink: "y"})
	for range 10 {
		if r := b.next(); r.Exit != "0" {
			t.Errorf("%+v", r)
		}
	}
	var want strings.Builder
	for _, uplink := range []string{"x", "y"} {
		for _, name := range []string{"10-a", "10-b", "9", "B", "a"} {
			fmt.Fprintln(&want, uplink, "up", name)
		}
	}
	if diff := cmp.Diff(want.String(), b.read("order")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What waits is overtaken by what is newer; what runs is not, and the last one runs in any case.
func TestOvertake(t *testing.T) {
	for _, c := range []struct {
		name   string
		posted []string
		want   string
	}{
		{"flapping", []string{Down, Up, Down, Up}, "up"},
		{"gone in the end", []string{Down, Up, Change, Down}, "down"},
		{"a change does not hide an up", []string{Down, Up, Change, Change}, "up"},
		{"a change of what is up", []string{Change, Change}, "change"},
		{"the same once more", []string{Up}, "up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, Options{})
			gate := b.fifo("gate")
			b.hook("gate", `echo "$WGUPLINK_UPLINK $1 $WGUPLINK_MTU" >>$SCRATCH/seen; read x <$SCRATCH/gate`)
			b.start()
			b.Post(Event{Event: Up, Uplink: "mesh", MTU: 1})
			w := open(t, gate, os.O_WRONLY) // the hook is at work
			b.Post(Event{Event: Up, Uplink: "other"})
			for i, e := range c.posted {
				b.Post(Event{Event: e, Uplink: "mesh", MTU: i + 2})
			}
			w.Close()
			b.next()
			for range 2 {
				open(t, gate, os.O_WRONLY).Close()
				b.next()
			}
			b.stop()
			want := fmt.Sprintf("mesh up 1\nother up \nmesh %s %d\n", c.want, len(c.posted)+1)
			if diff := cmp.Diff(want, b.read("seen")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Many goroutines may post; each uplink's last event runs.
func TestPostFromMany(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("tell", `echo "$WGUPLINK_UPLINK $1" >>$SCRATCH/seen`)
	b.start()
	var group sync.WaitGroup
	for i := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 20 {
				b.Post(Event{Event: Up, Uplink: fmt.Sprint(i)})
				b.Results(fmt.Sprint(i))
			}
			b.Post(Event{Event: Down, Uplink: fmt.Sprint(i)})
		}()
	}
	group.Wait()
	b.stop()
	last := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(b.read("seen")), "\n") {
		uplink, event, _ := strings.Cut(line, " ")
		last[uplink] = event
	}
	for i := range 8 {
		if e := last[fmt.Sprint(i)]; e != Down {
			t.Errorf("uplink %d: last event %q", i, e)
		}
	}
}

// The down that a SIGTERM leads to reaches the hooks, behind the hook at work.
func TestFarewell(t *testing.T) {
	b := newBench(t, Options{})
	gate := b.fifo("gate")
	b.hook("gate", `echo $1 >>$SCRATCH/seen; [ $1 = down ] || read x <$SCRATCH/gate`)
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	w := open(t, gate, os.O_WRONLY)
	b.cancel()
	b.Post(Event{Event: Down, Uplink: "mesh"})
	w.Close()
	<-b.done
	if got := b.read("seen"); got != "up\ndown\n" {
		t.Errorf("events: %q", got)
	}
	b.Post(Event{Event: Up, Uplink: "mesh"}) // has no effect, and does not panic
	if got := b.Results("mesh"); len(got) != 1 || got[0].Event != Down {
		t.Errorf("results: %+v", got)
	}
}

// After the end no hook keeps the agent for longer than the farewell.
func TestFarewellIsBounded(t *testing.T) {
	b := newBench(t, Options{})
	b.farewell = 1 // as good as over
	gate := b.fifo("gate")
	b.hook("1-gate", `read x <$SCRATCH/gate`)
	b.hook("2-next", `echo >$SCRATCH/not-run`)
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	w := open(t, gate, os.O_WRONLY)
	defer w.Close()
	b.Post(Event{Event: Down, Uplink: "mesh"})
	b.cancel()
	<-b.done
	if r := b.next(); r != (Result{Hook: "1-gate", Event: Up, Exit: "timed out"}) {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(b.scratch, "not-run")); err == nil {
		t.Error("another hook was run")
	}
	want := [][]string{{"2-next"}, {"1-gate", "2-next"}}
	var got [][]string
	for _, r := range b.log() {
		if r.LeftOut != nil {
			got = append(got, r.LeftOut)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestResults(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("1", `echo first; echo; echo "  last $1 "; exit 0`)
	b.hook("2", `echo "on stderr" >&2; exit 3`)
	b.hook("3", `kill -TERM $$`)
	b.file("4", "echo no first line\n", 0o755)
	b.file("5", "#!/no/such/interpreter\n", 0o755)
	b.start()
	if got := b.Results("mesh"); got != nil {
		t.Errorf("results before anything ran: %+v", got)
	}
	b.Post(Event{Event: Up, Uplink: "mesh"})
	for range 5 {
		b.next()
	}
	path := func(name string) string { return "fork/exec " + filepath.Join(b.dir, name) + ": " }
	want := []Result{
		{"1", Up, "0", "  last up"},
		{"2", Up, "3", "on stderr"},
		{"3", Up, "signal: terminated", ""},
		{"4", Up, path("4") + "exec format error: a script must begin with a line such as #!/bin/sh", ""},
		{"5", Up, path("5") + "no such file or directory: is the interpreter that its first line names installed?", ""},
	}
	if diff := cmp.Diff(want, b.Results("mesh")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var warnings []record
	for _, r := range b.log() {
		if r.Level == "WARN" {
			warnings = append(warnings, r)
		}
	}
	about := record{Level: "WARN", Uplink: "mesh", Event: Up}
	wantLog := []record{about, about, about, about}
	wantLog[0].Msg, wantLog[0].Hook, wantLog[0].Code = "hook failed", "2", 3
	wantLog[1].Msg, wantLog[1].Hook, wantLog[1].Signal = "hook was killed", "3", "terminated"
	wantLog[2].Msg, wantLog[2].Hook, wantLog[2].Err = "hook could not be run", "4", want[3].Exit
	wantLog[3].Msg, wantLog[3].Hook, wantLog[3].Err = "hook could not be run", "5", want[4].Exit
	if diff := cmp.Diff(wantLog, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}

	// The hooks of today, each with its last result.
	for _, name := range []string{"2", "3", "4", "5"} {
		if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b.hook("0", "")
	b.Post(Event{Event: Down, Uplink: "mesh"})
	b.next()
	b.next()
	want = []Result{{"0", Down, "0", ""}, {"1", Down, "0", "  last down"}}
	if diff := cmp.Diff(want, b.Results("mesh")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := b.Results("other"); got != nil {
		t.Errorf("of another uplink: %+v", got)
	}
}

// An event that cannot be told runs nothing, and says so.
func TestBadConfig(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("tell", `echo >$SCRATCH/run`)
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh", Config: json.RawMessage(`{"cut off`)})
	b.stop()
	if all := b.log(); len(all) != 1 || all[0].Level != "WARN" || all[0].Err == "" {
		t.Errorf("%+v", all)
	}
	if _, err := os.Stat(filepath.Join(b.scratch, "run")); err == nil {
		t.Error("the hook was run")
	}
}

// Stranded waits beside what else waits, and is dropped when the uplink comes up meanwhile.
func TestStrandedBeside(t *testing.T) {
	r := New(Options{Dir: t.TempDir()})
	waiting := func() (all []string) {
		for e, ok := r.next(); ok; e, ok = r.next() {
			all = append(all, e.Uplink+" "+e.Event)
		}
		return all
	}
	r.Post(Event{Event: Down, Uplink: "mesh"})
	r.Post(Event{Event: Stranded, Uplink: "mesh", Hours: 2})
	r.Post(Event{Event: Stranded, Uplink: "mesh", Hours: 3})
	r.Post(Event{Event: Stranded, Uplink: "other"})
	if diff := cmp.Diff([]string{"mesh down", "mesh stranded", "other stranded"}, waiting()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.Post(Event{Event: Stranded, Uplink: "mesh"})
	r.Post(Event{Event: Stranded, Uplink: "other"})
	r.Post(Event{Event: Up, Uplink: "mesh"})
	r.Post(Event{Event: Change, Uplink: "mesh"})
	if diff := cmp.Diff([]string{"other stranded", "mesh up"}, waiting()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	env := strings.Join(Event{Event: Stranded, Uplink: "mesh", Hours: 2, Firmware: "v2", Cause: "no_handshake",
		Reason: "none"}.environ(), "\n")
	for _, want := range []string{"WGUPLINK_EVENT=stranded", "WGUPLINK_HOURS=2", "WGUPLINK_FIRMWARE=v2",
		"WGUPLINK_CAUSE=no_handshake", "WGUPLINK_REASON=none"} {
		if !strings.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
}
