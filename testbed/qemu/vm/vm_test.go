package vm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"wguplink/testbed/qemu/vm"
)

// shell stands in for QEMU: a program with a console.
func shell(t *testing.T, script string) *vm.VM {
	t.Helper()
	v, err := vm.Start("box", "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Kill)
	return v
}

func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, errors.New("too long"))
	t.Cleanup(cancel)
	return ctx
}

func TestExpect(t *testing.T) {
	v := shell(t, `printf 'one login: '; read who; echo "hello $who"; read end`)
	ctx := bounded(t, 10*time.Second)
	which, begin, end, err := v.Expect(ctx, 0, "never", "login: ")
	if err != nil || which != 1 || v.Text(begin, end) != "login: " {
		t.Fatalf("text %d, %q, %v", which, v.Text(begin, end), err)
	}
	if err := v.Send("root\n"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := v.Expect(ctx, end, "hello root\n"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := v.Expect(bounded(t, time.Millisecond), end, "login: "); err == nil ||
		!strings.Contains(err.Error(), "too long") {
		t.Errorf("a text before the mark, or none, gives %v", err)
	}
	if got, want := v.Tail(1), "box | one login: hello root"; got != want {
		t.Errorf("tail %q, want %q", got, want)
	}
}

func TestExited(t *testing.T) {
	ctx := bounded(t, 10*time.Second)
	good, bad := shell(t, "echo bye"), shell(t, "echo oh >&2; exit 3")
	if err := good.Exited(ctx); err != nil {
		t.Errorf("exit code 0 gives %v", err)
	}
	if err := bad.Exited(ctx); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("exit code 3 gives %v", err)
	}
	if _, _, _, err := good.Expect(ctx, 0, "bye\n"); err != nil {
		t.Errorf("what it said last is lost: %v", err)
	}
	if _, _, _, err := bad.Expect(ctx, 0, "well"); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("waiting for a machine that has ended gives %v", err)
	}
}

func TestNoProgram(t *testing.T) {
	g, err := vm.Boot(bounded(t, 10*time.Second), "box", "/no/qemu")
	if g != nil || err == nil || !strings.Contains(err.Error(), "setup-qemu") {
		t.Errorf("without QEMU: %v, %v", g, err)
	}
}

// What a machine has said that never takes commands can still be shown.
func TestNeverReady(t *testing.T) {
	for _, tt := range []struct {
		script, why string
		limit       time.Duration
	}{
		{"echo oops; exit 1", "has ended", time.Minute},
		{"echo oops; read end", "too long", 100 * time.Millisecond},
	} {
		g, err := vm.Boot(bounded(t, tt.limit), "box", "/bin/sh", "-c", tt.script)
		if g == nil || err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Fatalf("want an error that says %q, and a machine: %v, %v", tt.why, g, err)
		}
		if _, _, _, err := g.Expect(bounded(t, time.Minute), 0, "oops"); err != nil {
			t.Errorf("%s: %v", tt.why, err)
		}
		g.Kill()
	}
}

func TestGuest(t *testing.T) {
	ctx := bounded(t, 10*time.Second)
	// Noise before an answer, within the line and without its end.
	g, err := vm.Boot(ctx, "box", "/bin/sh", "-c",
		`printf 'boot\n@ready\n'; read line; printf 'kernel: oops'; printf '\n@1 {"code":3,"out":"a\\nb"}\nmore\n'; read line; printf '\n@2 {"code":0,"out":"fine"}\n'; read end`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	if r, err := g.Do(ctx, "cat", "x"); err != nil || r.Code != 3 || r.Out != "a\nb" {
		t.Errorf("got %+v, %v", r, err)
	}
	if out, err := g.Must(ctx, "cat", "y"); err != nil || out != "fine" {
		t.Errorf("got %q, %v", out, err)
	}
}
