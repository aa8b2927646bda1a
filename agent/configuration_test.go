package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/slog"
)

// newReader gives a reader of a configuration, and a way to write that anew.
func newReader(t *testing.T, text string) (r *reader, log *bytes.Buffer, write func(string)) {
	t.Helper()
	dir, flags := folders(t, text)
	o, _, err := parseOptions(find("run"), flags)
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

func (r *reader) mustRead(t *testing.T) config.Uplink {
	t.Helper()
	_, l, err := r.read()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.uplinks) == 0 {
		return config.Uplink{}
	}
	return l.uplinks[0]
}

// after is the reader of an agent that starts anew, as after a reboot.
func (r *reader) after() *reader { return &reader{o: r.o, log: r.log} }

const secret = "4Jd6i0aXQ1Zr0H5Jt0lH2d9l8sXvJ0cJrV2oJ7sF7W0="

// withOption is goodConfig with lines more in its uplink.
func withOption(lines ...string) string {
	return strings.Replace(goodConfig, "\n\n", "\n\t"+strings.Join(lines, "\n\t")+"\n\n", 1)
}

func TestLastGood(t *testing.T) {
	r, log, write := newReader(t, withOption("option private_key '"+secret+"'", "option node_name '"+secret+"'",
		"option colour '"+secret+"'"))
	u := r.mustRead(t)
	id, err := r.loadKey(u)
	if !u.Enabled || err != nil {
		t.Fatalf("%+v, %v", u, err)
	}
	names, err := os.ReadDir(r.o.lastGood())
	if err != nil || len(names) != 2 {
		t.Fatalf("%v: %v", names, err)
	}
	stat := func() (all []os.FileInfo) {
		for _, n := range names {
			info, err := os.Stat(filepath.Join(r.o.lastGood(), n.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, info)
		}
		return all
	}
	for _, info := range stat() {
		text, err := os.ReadFile(filepath.Join(r.o.lastGood(), info.Name()))
		if err != nil || bytes.Contains(text, []byte(secret)) || len(text) == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v: %s", info.Mode(), err, text)
		}
	}
	before := stat()
	r.mustRead(t)
	if _, err := r.loadKey(u); err != nil {
		t.Fatal(err)
	}
	for i, info := range stat() {
		if !os.SameFile(before[i], info) {
			t.Errorf("%s is written although nothing has changed", info.Name())
		}
	}
	for text, found := range map[string]bool{
		"": false, strings.Repeat("\x00", 500): false, "config uplink 'me": false, "what is this": false,
		withOption("option private_key '"+secret+"'", "option mtu '1400"): true,
		withOption("option privat_key '"+secret+"'") + "\x00\x00":         true,
		"option private_key '" + secret[:20]:                              false,
	} {
		write(text)
		log.Reset()
		fresh := r.after()
		u := fresh.mustRead(t)
		if !u.Enabled || len(u.Gateways) != 1 || strings.Count(log.String(), "level=WARN") == 0 ||
			!strings.Contains(log.String(), "empty or damaged") {
			t.Errorf("%.20q: %+v: %s", text, u, log)
		}
		got, err := fresh.loadKey(u)
		if (err == nil) != found || found && got.Public != id.Public {
			t.Errorf("%.20q: %+v, %v", text, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "no new") {
			t.Errorf("%.20q: %v", text, err)
		}
		if now, err := os.ReadFile(r.o.file()); err != nil || string(now) != text {
			t.Errorf("%.20q is now %q", text, now)
		}
		// While an agent runs, the file is refused, and what runs stays.
		var damage *config.Damage
		if _, _, err := fresh.read(); !errors.As(err, &damage) {
			t.Errorf("%.20q: %v", text, err)
		}
		for _, args := range [][]string{{"config", "check"}, {"doctor"}} {
			code, stdout, stderr := run(append(args, "--config", r.o.config, "--staged", r.o.staged, "--run", r.o.run,
				"--state", r.o.state)...)
			if code == exitOK || !strings.Contains(stdout+stderr, "empty or damaged") ||
				strings.Contains(stdout+stderr, "no problem") {
				t.Errorf("%q: %d %s%s", args, code, stdout, stderr)
			}
		}
		code, stdout, stderr := run("status", "--config", r.o.config, "--staged", r.o.staged, "--run", r.o.run,
			"--state", r.o.state)
		if code != exitStopped || !strings.Contains(stdout, "empty or damaged") {
			t.Errorf("status: %d %s%s", code, stdout, stderr)
		}
	}
	// A file that can be read counts, also when it takes an uplink away.
	for _, gone := range []string{withOption("option enabled '0'"), "# nothing\n"} {
		write(gone)
		if u := r.mustRead(t); u.Enabled {
			t.Errorf("still enabled with %s", gone)
		}
		write("what is this")
		if u := r.after().mustRead(t); u.Enabled {
			t.Errorf("enabled again, although the last good one was %s", gone)
		}
	}
	if _, known := r.o.knownKey("mesh"); known {
		t.Error("the key of an uplink that is no more is still known")
	}
}

// Without a last good configuration, a damaged file is an error that says so.
func TestDamagedFromTheStart(t *testing.T) {
	for _, text := range []string{"\n", "\x00", "what"} {
		_, flags := folders(t, text)
		for _, args := range [][]string{{"run"}, {"status"}, {"config", "check"}, {"key", "show"},
			{"key", "show", "--make"}} {
			code, stdout, stderr := run(append(args, flags...)...)
			if code != exitFailed || !strings.Contains(stderr, "empty or damaged") {
				t.Errorf("%q %q: %d %s%s", text, args, code, stdout, stderr)
			}
		}
	}
}

// A key in a file of its own is there still.
func TestLastGoodWithKeyFile(t *testing.T) {
	key := filepath.Join(t.TempDir(), "mesh.key")
	r, _, write := newReader(t, withOption("option key_file '"+key+"'"))
	id, err := r.loadKey(r.mustRead(t))
	if err != nil {
		t.Fatal(err)
	}
	write("")
	fresh := r.after()
	if got, err := fresh.loadKey(fresh.mustRead(t)); err != nil || got.Public != id.Public {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", strings.Repeat("\x00", 45), "short\n"} {
		if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := fresh.loadKey(fresh.mustReadAgain(t)); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
		if now, err := os.ReadFile(key); err != nil || string(now) != text {
			t.Errorf("%q is now %q", text, now)
		}
	}
}

func (r *reader) mustReadAgain(t *testing.T) config.Uplink {
	r.ran = false
	return r.mustRead(t)
}

// No mistake makes a new key in the place of one that it hides, at the start or at a reload, by the agent or by hand.
func TestMistakesKeepTheKey(t *testing.T) {
	keep := "option private_key '" + secret + "'"
	for _, lines := range [][]string{
		{"option privat_key '" + secret + "'"}, {"option pk '" + secret + "'"}, {"option key_flie '/x'"},
		{"option key_file 'x'"},
		{"list key_file '/x'", "list key_file '/y'"}, {"list key_import 'x'"},
		{"option keyimport 'fastd.mesh_vpn.secret'"},
		{"option fwmark 'x'"}, {"option protocol 'wgkx'", "option domain 'x'", "option mtu 'x'"}, {"option mtu 'x'"},
	} {
		r, _, write := newReader(t, withOption(keep))
		id, err := r.loadKey(r.mustRead(t))
		if err != nil {
			t.Fatal(err)
		}
		write(withOption(lines...))
		before, _ := os.ReadFile(r.o.file())
		for what, reader := range map[string]*reader{"reload": r, "start": r.after()} {
			u := reader.mustRead(t)
			if got, err := reader.loadKey(u); err == nil {
				t.Errorf("%q: %s: %+v", lines, what, got)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%q: shown: %v", lines, err)
			}
		}
		code, stdout, stderr := run("key", "show", "--make", "--config", r.o.config, "--staged", r.o.staged, "--run",
			r.o.run, "--state", r.o.state)
		if code == exitOK || stdout != "" {
			t.Errorf("%q: key show --make: %d %s%s", lines, code, stdout, stderr)
		}
		if after, _ := os.ReadFile(r.o.file()); !bytes.Equal(before, after) {
			t.Errorf("%q: the file is now\n%s", lines, after)
		}
		// The mistake mended, the key is the old one.
		write(withOption(keep))
		if got, err := r.after().loadKey(r.mustRead(t)); err != nil || got.Public != id.Public {
			t.Errorf("%q: %+v, %v", lines, got, err)
		}
	}
	// A first start with a mistake that has nothing to do with the key makes one, as does the key taken out of a good
	// file.
	for _, text := range []string{withOption("option mtu 'x'"), goodConfig} {
		r, _, _ := newReader(t, text)
		if text == goodConfig {
			key, err := wgtypes.ParseKey(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.o.keepKey("mesh", key.PublicKey()); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(r.o.run, 0o755); err != nil {
			t.Fatal(err)
		}
		if id, err := r.loadKey(r.mustRead(t)); err != nil || id.Origin != "generated" {
			t.Errorf("%+v, %v", id, err)
		}
	}
}

func TestMistakeAtReload(t *testing.T) {
	r, log, write := newReader(t, goodConfig)
	if u := r.mustRead(t); !u.Enabled || log.Len() != 0 {
		t.Fatalf("%+v: %s", u, log)
	}
	write(strings.Replace(goodConfig, "fe80::1", "nonsense", 1))
	if u := r.mustRead(t); !u.Enabled || u.Fault != "" || len(u.Gateways) != 1 ||
		!strings.Contains(log.String(), "runs on as it was") {
		t.Errorf("a mistake ends a working tunnel: %+v, %s", u, log)
	}
	if strings.Count(log.String(), "level=WARN") != 3 { // the address, no gateway, what follows
		t.Error(log)
	}
	log.Reset()
	if r.mustRead(t); log.Len() != 0 {
		t.Errorf("told again: %s", log)
	}
	write(withOption("option enabled 'nope'"))
	if u := r.mustRead(t); u.Enabled || u.Fault == "" {
		t.Errorf("a mistake in enabled lets it run on: %+v", u)
	}
}

func TestStatusOfALeftOutUplink(t *testing.T) {
	_, flags := folders(t, strings.Replace(goodConfig, "fe80::1", "nonsense", 1))
	code, stdout, stderr := run(append([]string{"status"}, flags...)...)
	if code != exitStopped || !strings.Contains(stdout, "config: ") || !strings.Contains(stdout, "no enabled gateway") {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	for want, args := range map[int][]string{exitFailed: {"config", "check"}, 10: {"doctor"}} {
		if code, stdout, stderr := run(append(args, flags...)...); code != want ||
			!strings.Contains(stdout+stderr, "link_address") {
			t.Errorf("%q is not strict: %d %s%s", args, code, stdout, stderr)
		}
	}
}

// On a disk that is full or read-only a node without a key has one in memory, and each thing is told of once. What is
// there stays.
func TestNoRoomInEtc(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const size = "size=64k"
	must(unix.Mount("tmpfs", dir, "tmpfs", 0, size))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r, log, _ := newReader(t, goodConfig)
	r.o.config, r.o.state = filepath.Join(dir, "config"), filepath.Join(dir, "state")
	must(os.MkdirAll(r.o.config, 0o755))
	must(os.WriteFile(r.o.file(), []byte(goodConfig), 0o600))
	must(os.MkdirAll(r.o.run, 0o755))
	fill := func() {
		f, err := os.Create(filepath.Join(dir, "filler"))
		must(err)
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 4096))
		}
		f.Close()
	}
	fill()
	u := r.mustRead(t)
	first, err := r.loadKey(u)
	if err != nil || !errors.Is(first.NotStored, unix.ENOSPC) || !u.Enabled {
		t.Fatalf("full: %+v, %v", first, err)
	}
	must(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, size))
	for range 2 {
		again, err := r.loadKey(r.mustRead(t))
		if err != nil || again.Public != first.Public || !errors.Is(again.NotStored, unix.EROFS) {
			t.Errorf("read-only: %+v, %v", again, err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 { // no room, then read-only: another reason
		t.Errorf("%d warnings:\n%s", n, log)
	}
	if text, err := os.ReadFile(r.o.file()); err != nil || string(text) != goodConfig {
		t.Errorf("the configuration is now %q", text)
	}
	must(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, size))
	must(os.Remove(filepath.Join(dir, "filler")))
	stored, err := r.loadKey(r.mustRead(t))
	if err != nil || stored.Public != first.Public || stored.NotStored != nil {
		t.Errorf("room again: %+v, %v", stored, err)
	}
	if got, err := r.after().loadKey(r.mustRead(t)); err != nil || got.Public != first.Public {
		t.Errorf("after a reboot: %+v, %v", got, err)
	}
	if known, ok := r.o.knownKey("mesh"); !ok || known != first.Public {
		t.Errorf("known: %v", known)
	}
	// With the disk full once more, what is kept stays whole.
	kept, err := os.ReadFile(filepath.Join(r.o.lastGood(), config.Package))
	must(err)
	fill()
	must(os.WriteFile(r.o.file(), []byte("config global\n"), 0o600)) // in the place it has
	r.mustRead(t)
	if now, err := os.ReadFile(filepath.Join(r.o.lastGood(), config.Package)); err != nil || !bytes.Equal(now, kept) {
		t.Errorf("%v: %s", err, now)
	}
	if names, err := os.ReadDir(r.o.lastGood()); err != nil || len(names) != 2 {
		t.Errorf("%v: %v", names, err)
	}
}
