package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"wguplink/agent/batman"
	"wguplink/testbed/topology"
)

// What the node is configured to tell batman-adv.
const (
	throughput = 25000 // kbit/s
	hopPenalty = 30
)

// batman checks what batman-adv was told of the hard-interface: a throughput only if it is BATMAN_V.
func (t *Test) batman(ctx context.Context) (string, error) {
	out, err := t.Node.Hard(ctx, "mesh-vpn")
	if errors.Is(err, errors.ErrUnsupported) {
		return "not seen: the node has nothing to ask with", nil
	}
	if err != nil {
		return "", err
	}
	var h batman.Hard
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		return "", fmt.Errorf("hard-interface: %w", err)
	}
	want := batman.Hard{HopPenalty: hopPenalty}
	if t.Run.Algorithm == batman.V {
		want.Throughput = throughput
	}
	if h != want {
		return "", fmt.Errorf("%s was told %+v, want %+v", t.Run.Algorithm, h, want)
	}
	return fmt.Sprintf("throughput %d kbit/s, hop penalty %d", h.Throughput, h.HopPenalty), nil
}

// heard compares the neighbours in the status with the gateway's own address in the mesh.
func (t *Test) heard(ctx context.Context) (string, error) {
	s, err := t.Status(ctx, "hears a neighbour", func(s topology.Status) bool {
		return s.Batman != nil &&
			len(s.Batman.Neighbours) > 0
	})
	if err != nil {
		return "", err
	}
	if s.Batman.Algorithm != t.Run.Algorithm {
		return "", fmt.Errorf("the status says %s, want %s", s.Batman.Algorithm, t.Run.Algorithm)
	}
	mac, err := t.ask(ctx, "mac", t.gateway)
	if err != nil {
		return "", err
	}
	if !slices.Contains(s.Batman.Neighbours, mac) {
		return "", fmt.Errorf("the status has %v, and not %s of %s", s.Batman.Neighbours, mac, t.gateway)
	}
	return fmt.Sprint(s.Batman.Neighbours), nil
}

// deaf takes the gateway out of the mesh, and its tunnel stays.
func (t *Test) deaf(ctx context.Context) (string, error) {
	if _, err := t.ask(ctx, "leave", t.gateway); err != nil {
		return "", err
	}
	s, err := t.Status(ctx, "cause no_neighbour", func(s topology.Status) bool { return s.Cause == "no_neighbour" })
	if err != nil {
		return "", err
	}
	if s.State != "impaired" || topology.ShortName(s.Gateway.Name) != t.gateway {
		return "", fmt.Errorf("without a neighbour the state is %s, with %s", s.State, s.Gateway.Name)
	}
	if _, err := t.ask(ctx, "join", t.gateway); err != nil {
		return "", err
	}
	_, err = t.Status(ctx, "well again", topology.Connected)
	return s.Reason, err
}
