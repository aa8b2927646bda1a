package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newReader gives a reader of a configuration, and a way to write that anew.
func newReader(t *testing.T, text string) (r *reader, log *bytes.Buffer, write func(string)) {
	t.Helper()
	dir, flags := folders(t, text)
	o, _, err := parseOptions(flags)
	if err != nil {
		t.Fatal(err)
	}
	log = new(bytes.Buffer)
	return &reader{o: o, log: newLogger(log, slog.LevelInfo)}, log, func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "wguplink"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *reader) mustRead(t *testing.T) (enabled bool) {
	t.Helper()
	run, err := r.read()
	if err != nil {
		t.Fatal(err)
	}
	return len(run.Uplinks) > 0 && run.Uplinks[0].Enabled
}

const secret = "4Jd6i0aXQ1Zr0H5Jt0lH2d9l8sXvJ0cJrV2oJ7sF7W0="

func TestLastGood(t *testing.T) {
	text := strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+secret+"'\n\toption privat_key '"+secret+"'\n\n", 1)
	r, log, write := newReader(t, text)
	if !r.mustRead(t) {
		t.Fatal("not enabled")
	}
	name := filepath.Join(r.o.state, "last-good", "wguplink")
	kept, err := os.ReadFile(name)
	if err != nil || bytes.Contains(kept, []byte(secret)) || !bytes.Contains(kept, []byte("privat_key")) {
		t.Fatalf("%v: %s", err, kept)
	}
	first, _ := os.Stat(name)
	if first.Mode().Perm() != 0o600 {
		t.Error(first.Mode())
	}
	r.mustRead(t)
	if again, _ := os.Stat(name); !os.SameFile(first, again) {
		t.Error("written although nothing has changed")
	}
	for _, damaged := range []string{"", strings.Repeat("\x00", 500), "config uplink 'me", "what is this"} {
		write(damaged)
		log.Reset()
		r.told = nil
		if !r.mustRead(t) || strings.Count(log.String(), "level=WARN") == 0 || !strings.Contains(log.String(), "damaged") {
			t.Errorf("%.20q: %s", damaged, log)
		}
		log.Reset()
		if r.mustRead(t); log.Len() != 0 {
			t.Errorf("told again: %s", log)
		}
		// As after a reboot: its key is lost with the file, and no other takes its place.
		log.Reset()
		if fresh := (&reader{o: r.o, log: r.log}); fresh.mustRead(t) || !strings.Contains(log.String(), "left out") {
			t.Errorf("%.20q: run by a new agent: %s", damaged, log)
		}
	}
	// A key in a file of its own is there still.
	write(strings.Replace(goodConfig, "\n\n", "\n\toption key_file '/etc/wguplink/key'\n\n", 1))
	if !r.mustRead(t) {
		t.Fatal("not enabled")
	}
	write("what is this")
	if fresh := (&reader{o: r.o, log: r.log}); !fresh.mustRead(t) {
		t.Errorf("not run by a new agent: %s", log)
	}
	// A file that can be read counts, whatever it takes away.
	for _, gone := range []string{strings.Replace(goodConfig, "\n\n", "\n\toption enabled '0'\n\n", 1), "# nothing\n"} {
		write(gone)
		if r.mustRead(t) {
			t.Errorf("still enabled with %s", gone)
		}
		write("what is this")
		if r.mustRead(t) {
			t.Errorf("enabled again, although the last good one was %s", gone)
		}
	}
}

func TestMistakeAtReload(t *testing.T) {
	r, log, write := newReader(t, goodConfig)
	r.mustRead(t)
	write(strings.Replace(goodConfig, "fe80::1", "nonsense", 1))
	if !r.mustRead(t) || !strings.Contains(log.String(), "runs on as it was") {
		t.Errorf("a mistake ends a working tunnel: %s", log)
	}
	if strings.Count(log.String(), "level=WARN") != 3 { // the address, no gateway, what follows
		t.Error(log)
	}
	write(strings.Replace(goodConfig, "\n\n", "\n\toption enabled 'nope'\n\n", 1))
	if r.mustRead(t) {
		t.Error("a mistake in enabled lets it run on")
	}
}

func TestStatusOfALeftOutUplink(t *testing.T) {
	_, flags := folders(t, strings.Replace(goodConfig, "fe80::1", "nonsense", 1))
	code, stdout, stderr := run(append([]string{"status"}, flags...)...)
	if code != exitStopped || !strings.Contains(stdout, "config: ") || !strings.Contains(stdout, "no enabled gateway") {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := run(append([]string{"config", "check"}, flags...)...); code != exitFailed || !strings.Contains(stderr, "link_address") {
		t.Errorf("config check is not strict: %d %s", code, stderr)
	}
}
