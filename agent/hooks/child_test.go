package hooks

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/json"
)

// A hook that does not end in its time is killed, and the next one runs.
func TestTimeout(t *testing.T) {
	b := newBench(t, Options{Timeout: 50 * time.Millisecond})
	b.fifo("never")
	b.hook("1-stuck", `read x <$SCRATCH/never`)
	b.hook("2-next", "")
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	if got := b.next(); got != (Result{"1-stuck", Up, "timed out", ""}) {
		t.Errorf("%+v", got)
	}
	if got := b.next(); got.Hook != "2-next" { // it may be late itself, on a busy machine
		t.Errorf("%+v", got)
	}
	n := 0
	for _, rec := range b.log() {
		if rec.Msg == "hook took too long and was killed" && rec.Level == "WARN" && rec.Hook == "1-stuck" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// What a hook has started dies with it, also when both ignore signals.
func TestKillGroup(t *testing.T) {
	b := newBench(t, Options{})
	b.farewell = 1 // as good as over
	b.fifo("never")
	alive := b.fifo("alive")
	b.hook("stuck", `
		trap '' TERM
		echo begun
		(exec 3>$SCRATCH/alive; read x <$SCRATCH/never) &
		read x <$SCRATCH/never`)
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	r := open(t, alive, os.O_RDONLY)
	defer r.Close()
	b.cancel()
	// The one in the background holds its end of the pipe until it is dead.
	if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if got := b.next(); got != (Result{"stuck", Up, "timed out", "begun"}) {
		t.Errorf("%+v", got)
	}
}

// What a hook leaves running in the background holds its output open, but does not hold us, and is left alone.
func TestBackground(t *testing.T) {
	b := newBench(t, Options{})
	gate := b.fifo("gate")
	answer := b.fifo("answer")
	b.hook("daemon", `(read x <$SCRATCH/gate; echo "still here" >$SCRATCH/answer) & echo started`)
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	if got := b.next(); got != (Result{"daemon", Up, "0", "started"}) {
		t.Errorf("%+v", got)
	}
	open(t, gate, os.O_WRONLY).Close()
	r := open(t, answer, os.O_RDONLY)
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "still here\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// Neither much output nor an input that the hook does not read holds a hook up.
func TestOutput(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("noisy", `
		printf 'caf\303\251 \377\n\n\r\n'
		head -c 300000 /dev/zero | tr '\0' x
		echo
		i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo "line $i"; done
		printf 'no newline'`)
	b.start()
	big := `"` + strings.Repeat("y", 1<<20) + `"`
	b.Post(Event{Event: Up, Uplink: "mesh", Config: json.RawMessage(big)})
	if got := b.next(); got != (Result{"noisy", Up, "0", "no newline"}) {
		t.Errorf("%+v", got)
	}
	want := []string{"café \uFFFD", strings.Repeat("x", maxLine) + "…"}
	for i := range maxLines - 2 {
		want = append(want, fmt.Sprint("line ", i+1))
	}
	want = append(want, "… (more is left out)")
	var got []string
	for _, r := range b.log() {
		if r.Level != "INFO" || r.Msg != "hook says" || r.Hook != "noisy" || r.Uplink != "mesh" || r.Event != Up {
			t.Errorf("%+v", r)
		}
		got = append(got, r.Line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// All output of a hook that ended is taken, also what its pipe held at its end.
func TestOutputAtTheEnd(t *testing.T) {
	b := newBench(t, Options{})
	b.hook("burst", `i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo "$i of 40"; done`)
	b.start()
	for range 50 {
		b.Post(Event{Event: Up, Uplink: "mesh"})
		if got := b.next(); got.Last != "40 of 40" {
			t.Fatalf("%+v", got)
		}
	}
	b.stop()
	if n := len(b.log()); n != 50*40 {
		t.Errorf("%d lines in the log", n)
	}
}
