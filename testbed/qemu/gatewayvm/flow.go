package gatewayvm

import (
	"fmt"
	"net"
	"strconv"

	"wguplink/agent/derive"
	"wguplink/testbed/flow"
	"wguplink/testbed/gateway"
	"wguplink/testbed/topology"
)

// measureFlow measures a TCP flow between a gateway and the node, over WireGuard alone: between their link addresses,
// so that every packet is IPv6 and TCP and nothing else. up is from the node.
func measureFlow(g *topology.Gateway, args []string) (string, error) {
	if args[0] != "up" && args[0] != "down" {
		return "", fmt.Errorf("direction %q: want up or down", args[0])
	}
	bytes, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || bytes <= 0 {
		return "", fmt.Errorf("%q is no number of bytes", args[1])
	}
	ctx, cancel, err := bounded(args[2])
	if err != nil {
		return "", err
	}
	defer cancel()
	keys := g.Keys()
	if len(keys) != 1 {
		return "", fmt.Errorf("gateway %s knows %d nodes, not one", g.Name, len(keys))
	}
	to := net.JoinHostPort(derive.LinkLocal(keys[0], true).String()+"%"+gateway.DefaultInterface,
		strconv.Itoa(flow.Port))
	c, err := g.Host.Dial(ctx, "tcp6", to)
	if err != nil {
		return "", fmt.Errorf("flow from gateway %s: %w", g.Name, err)
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(end); err != nil {
			return "", err
		}
	}
	do := flow.Up
	if args[0] == "up" { // of the node's
		do = flow.Down
	}
	got, err := do(c, bytes)
	if err != nil {
		return "", fmt.Errorf("flow %s: %w", args[0], err)
	}
	// The packets are as large as the gateway's device allows, with 40 bytes of IPv6 and 32 of TCP with time stamps.
	const packet, headers = gateway.DefaultMTU, 72
	return strconv.FormatInt(int64(got.Rate*packet/(packet-headers)), 10), nil
}
