package scenario

import (
	"context"
	"fmt"
	"time"

	"wguplink/testbed/world"
)

// Namespaces is a Place in network namespaces, whose packets are Ethernet frames of the node.
type Namespaces struct {
	World  *world.World
	Agent  *world.Agent
	Frames *world.Layer2
}

// Now implements Place.
func (n Namespaces) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// Happen implements Place.
func (n Namespaces) Happen(_ context.Context, e world.Incident, gateway string) error {
	return n.World.Happen(e, gateway)
}

// Delete implements Place.
func (n Namespaces) Delete(_ context.Context, device string) error {
	l, err := n.World.Node.Netlink().LinkByName(device)
	if err != nil {
		return fmt.Errorf("delete %s: %w", device, err)
	}
	return n.World.Node.Netlink().LinkDel(l)
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
func (n Namespaces) Status(ctx context.Context, what string, ok func(world.Status) bool) (world.Status, error) {
	return n.Agent.Await(ctx, what, ok)
}

// Reply implements Place.
func (n Namespaces) Reply(ctx context.Context, after time.Time, except string) (world.Reply, error) {
	return n.Frames.Await(ctx, after, func(r world.Reply) bool { return r.Gateway != except && n.World.Named(r.Gateway) != nil })
}
