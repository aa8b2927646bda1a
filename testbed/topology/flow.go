package topology

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"wguplink/testbed/flow"
)

// FlowUp has the node send so many bytes to the internet, through its default route of one family, by TCP, and measures
// what arrives there.
func (topo *Topology) FlowUp(ctx context.Context, to netip.Addr, bytes int64) (f flow.Flow, err error) {
	conn, err := topo.Node.Dial(ctx, "tcp", netip.AddrPortFrom(to, flow.Port).String())
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		f, err = flow.Up(conn, bytes)
	}
	if err != nil {
		return f, fmt.Errorf("flow of %d bytes with %v: %w", bytes, to, errors.Join(err, context.Cause(ctx)))
	}
	return f, nil
}

// startSink serves flows on a concentrator, at its internet addresses.
func (topo *Topology) startSink(c *Concentrator) error {
	for _, a := range []netip.Addr{InternetV4, InternetV6} {
		ln, err := c.Host.Listen(topo.ctx, "tcp", netip.AddrPortFrom(a, flow.Port).String())
		if err != nil {
			return err
		}
		topo.serve("sink", func() error { return flow.Serve(topo.ctx, ln, c.Name) })
	}
	return nil
}
