package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"wguplink/testbed/flow"
)

// FlowUp has the node send so many bytes to the internet, through its default route of one family, by TCP, and measures
// what arrives there.
func (w *World) FlowUp(ctx context.Context, to netip.Addr, bytes int64) (f flow.Flow, err error) {
	conn, err := w.Node.Dial(ctx, "tcp", netip.AddrPortFrom(to, flow.Port).String())
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
func (w *World) startSink(c *Concentrator) error {
	for _, a := range []netip.Addr{InternetV4, InternetV6} {
		ln, err := c.Host.Listen(w.ctx, "tcp", netip.AddrPortFrom(a, flow.Port).String())
		if err != nil {
			return err
		}
		w.serve("sink", func() error { return flow.Serve(w.ctx, ln, c.Name) })
	}
	return nil
}
