package scenario

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"wguplink/peerselector"
	"wguplink/testbed/topology"
)

// Two nodes have one key, as after a copied flash image or a configuration that was restored on a second router. At one
// gateway each takes the session from the other, and the status names that as what is likely wrong.
func TestTwin(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	// It takes four handshakes, and each node waits until it suspects the gateway: more than a minute.
	var cancel context.CancelFunc
	n.ctx, cancel = context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	second, node2, err := n.SecondAgent(os.Getenv(binaryEnv), t.TempDir(), n.uci())
	n.must(err)
	n.start()
	alone := nodeConnected(n.scene)
	if slices.ContainsFunc(alone.Warnings, twinWarning) {
		t.Errorf("warned before there was another node: %q", alone.Warnings)
	}
	n.must(second.Start())
	nodeAwait(n.scene, "warned of another node", func(st topology.Status) bool {
		return slices.ContainsFunc(st.Warnings, twinWarning)
	})

	// The gateway has one peer for both, at the place of the one that shook hands last.
	key, ok := second.Key(n.ctx)
	if !ok || key.String() != alone.PublicKey {
		t.Errorf("keys %s and %s", alone.PublicKey, key)
	}
	if (key == peerselector.Key{}) || node2 == n.Node {
		t.Error("there is no second node")
	}
}

func twinWarning(w string) bool {
	return strings.Contains(w, "does another node use the key of this one?")
}
