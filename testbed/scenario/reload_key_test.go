package scenario

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/topology"
)

// A new key in the configuration makes the node another one to its gateways; a broken one changes nothing.
func TestKeyReload(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	l2 := s.frames()
	s.reply(l2, s.start())
	file := filepath.Join(s.agent.Dir, "wguplink")
	setKey := func(value string) {
		text, err := os.ReadFile(file)
		s.must(err)
		stored := regexp.MustCompile(`option private_key '[^']*'`)
		if !stored.Match(text) {
			t.Fatalf("no key stored in\n%s", text)
		}
		s.must(os.WriteFile(file, stored.ReplaceAll(text, []byte("option private_key '"+value+"'")), 0o600))
		s.must(s.agent.Signal(syscall.SIGHUP))
	}
	private, err := wgtypes.GeneratePrivateKey()
	s.must(err)
	public := peerselector.Key(private.PublicKey())
	setKey(private.String())
	nodeAwait(s, "connected with the new key", func(st topology.Status) bool {
		return st.PublicKey == public.String() &&
			st.State == "connected"
	})
	s.reply(l2, time.Now())
	if k, ok := s.agent.Key(s.ctx); !ok || k != public {
		t.Errorf("key show gives %v", k)
	}

	setKey(private.String()[1:])
	s.line("going on with the one in use")
	s.reply(l2, time.Now())
	if st := s.status(); st.PublicKey != public.String() || st.State != "connected" {
		t.Errorf("after a broken key: %+v", st)
	}
}

// A node whose key cannot be used gets going by itself when it can.
func TestKeyMended(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	good := n.options["private_key"][0]
	n.set("private_key", good[1:])
	l2 := n.frames()
	began := n.start()
	if st := nodeAwait(n.scene, "without a key",
		func(st topology.Status) bool { return st.Cause == "key" }); !strings.Contains(st.Reason,
		"wguplink.mesh.private_key") {
		t.Errorf("status %+v", st)
	}
	n.set("private_key", good)
	n.reply(l2, began)
	nodeConnected(n.scene)
}

// A new key that no gateway knows costs nothing. It is put into use when the gateway has answered it.
func TestKeyUnknown(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	was := nodeConnected(n.scene)
	private, err := wgtypes.GeneratePrivateKey()
	n.must(err)
	public := peerselector.Key(private.PublicKey())
	since := time.Now()
	n.set("private_key", private.String())
	n.reload("configuration changed")
	nodeAwait(n.scene, "waiting with the new key", func(st topology.Status) bool {
		return len(st.Warnings) == 1 && strings.Contains(st.Warnings[0],
			"the new key "+public.String()+" is not in use yet")
	})
	nodeAwaitKernel(n.scene, "a device beside", func() bool { return n.NodeLink("wg_mesh-new") != nil })
	nodeLossless(n.scene, l2, since)
	for _, g := range n.Gateways {
		n.must(g.AddKey(public))
	}
	nodeAwait(n.scene, "connected with the new key", func(st topology.Status) bool {
		return st.PublicKey == public.String() && st.State == "connected" && len(st.Warnings) == 0 &&
			st.Gateway.Name == was.Gateway.Name
	})
	n.reply(l2, time.Now())
	nodeAwaitKernel(n.scene, "no device beside", func() bool { return n.NodeLink("wg_mesh-new") == nil })
}
