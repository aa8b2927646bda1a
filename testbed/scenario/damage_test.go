package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wguplink/testbed/topology"
)

// A node whose configuration a power cut, or a slip, has made unreadable runs by the one that could be read last, with
// its own key or none.
func TestDamagedConfiguration(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	nodeConnected(n.scene)
	key, ok := n.agent.Key(n.ctx)
	if !ok {
		t.Fatal("no key")
	}
	good := n.uci()
	nodeStop(n.scene)

	// The key is in the file still, though it cannot be parsed.
	n.must(n.agent.Configure(good + "\nconfig gateway 'x\n"))
	n.reply(l2, n.start())
	nodeConnected(n.scene)
	if st := n.status(); st.PublicKey != key.String() {
		t.Errorf("another key: %+v", st)
	}
	n.line("empty or damaged")
	if out, code, err := n.agent.Run(n.ctx, "status"); err != nil || code != 0 ||
		!strings.Contains(out, "empty or damaged") {
		t.Errorf("status: exit code %d, %v: %s", code, err, out)
	}
	nodeStop(n.scene)

	for _, damaged := range []string{"", strings.Repeat("\x00", 300)} {
		n.must(n.agent.Configure(damaged))
		n.start()
		if st := nodeAwait(n.scene, "without a key",
			func(st topology.Status) bool { return st.Cause == "key" }); !strings.Contains(st.Reason,
			"empty or damaged") {
			t.Errorf("status %+v", st)
		}
		for _, args := range [][]string{{"config", "check"}, {"doctor"}, {"status"}} {
			out, code, err := n.agent.Run(n.ctx, args...)
			if err != nil || args[0] != "status" && code == 0 || !strings.Contains(out, "empty or damaged") {
				t.Errorf("%q: exit code %d, %v: %s", args, code, err, out)
			}
		}
		if text, err := os.ReadFile(filepath.Join(n.agent.Dir, "wguplink")); err != nil || string(text) != damaged {
			t.Errorf("the file is now %q, %v", text, err)
		}
		n.must(n.agent.Configure(good))
		since := len(n.agent.Lines())
		n.must(n.agent.Signal(unix.SIGHUP))
		if _, err := n.agent.WaitLineFrom(n.ctx, since, "connected"); err != nil {
			t.Fatal(err)
		}
		if st := nodeConnected(n.scene); st.PublicKey != key.String() {
			t.Errorf("restored, with another key: %+v", st)
		}
		nodeStop(n.scene)
	}
}

// One slip in the name of the private key: no other key takes its place.
func TestMisspeltKey(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	good := n.uci()
	wrong := strings.Replace(good, "private_key", "privat_key", 1)
	if wrong == good {
		t.Fatal("no key in\n" + good)
	}
	n.must(n.agent.Configure(wrong))
	l2 := n.frames()
	began := n.start()
	if st := nodeAwait(n.scene, "without a key",
		func(st topology.Status) bool { return st.Cause == "key" }); !strings.Contains(st.Reason, "privat_key") ||
		!strings.Contains(st.Reason, "no new one") {
		t.Errorf("status %+v", st)
	}
	if text, err := os.ReadFile(filepath.Join(n.agent.Dir, "wguplink")); err != nil || string(text) != wrong {
		t.Errorf("the file is now %q, %v", text, err)
	}
	n.must(n.agent.Configure(good))
	n.must(n.agent.Signal(unix.SIGHUP))
	n.reply(l2, began)
	nodeConnected(n.scene)
}
