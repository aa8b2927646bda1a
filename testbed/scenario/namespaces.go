package scenario

import (
	"context"
	"fmt"
	"time"

	"wguplink/testbed/topology"
)

// Namespaces is a Place in network namespaces, whose packets are Ethernet frames of the node.
type Namespaces struct {
	Topology *topology.Topology
	Agent    *topology.Agent
	Frames   *topology.Layer2
}

// Now implements Place.
func (n Namespaces) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// Happen implements Place.
func (n Namespaces) Happen(_ context.Context, e topology.Incident, gateway string) error {
	return n.Topology.Happen(e, gateway)
}

// Delete implements Place.
func (n Namespaces) Delete(_ context.Context, device string) error {
	l, err := n.Topology.Node.Netlink().LinkByName(device)
	if err != nil {
		return fmt.Errorf("delete %s: %w", device, err)
	}
	return n.Topology.Node.Netlink().LinkDel(l)
}

// Restart implements Place.
func (n Namespaces) Restart(ctx context.Context) error {
	if err := n.Agent.Stop(ctx); err != nil {
		return err
	}
	return n.Agent.Start()
}

// Kill implements Place.
func (n Namespaces) Kill(ctx context.Context) error {
	if err := n.Agent.Kill(ctx); err != nil {
		return err
	}
	return n.Agent.Start()
}

// Reconnect implements Place.
func (n Namespaces) Reconnect(ctx context.Context) error {
	out, code, err := n.Agent.Run(ctx, "reconnect")
	if err == nil && code != 0 {
		err = fmt.Errorf("wguplink reconnect: exit code %d: %s", code, out)
	}
	return err
}

// Status implements Place.
func (n Namespaces) Status(ctx context.Context, what string, ok func(topology.Status) bool) (topology.Status, error) {
	return n.Agent.Await(ctx, what, ok)
}

// Reply implements Place.
func (n Namespaces) Reply(ctx context.Context, after time.Time, except string) (topology.Reply, error) {
	return n.Frames.Await(ctx, after, func(r topology.Reply) bool {
		return r.Gateway != except && n.Topology.Named(r.Gateway) != nil
	})
}
