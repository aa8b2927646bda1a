package world

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// sinkPort is where each concentrator takes TCP flows, at its internet addresses.
const sinkPort = 9

// Flow is a measured TCP flow.
type Flow struct {
	Concentrator string        // at its other end
	Bytes        int64         // all that arrived
	Took         time.Duration // from the first byte to the last
	// Rate is in kbit/s, payload only. The first quarter of the bytes is not in it: buffers and bursts let that pass faster.
	Rate float64
}

// FlowUp has the node send so many bytes to the internet, through its default route of one family, by TCP, and measures
// what arrives there.
func (w *World) FlowUp(ctx context.Context, to netip.Addr, bytes int64) (Flow, error) {
	return w.flow(ctx, to, bytes, "up")
}

// FlowDown has the internet send so many bytes to the node.
func (w *World) FlowDown(ctx context.Context, to netip.Addr, bytes int64) (Flow, error) {
	return w.flow(ctx, to, bytes, "down")
}

// flow asks a sink in one line: the direction and the bytes. The answer to "up" is the sink's measurement, to "down" its
// name and the bytes.
func (w *World) flow(ctx context.Context, to netip.Addr, bytes int64, direction string) (f Flow, err error) {
	fail := func(err error) (Flow, error) {
		return Flow{}, fmt.Errorf("flow %s of %d bytes with %v: %w", direction, bytes, to, errors.Join(err, context.Cause(ctx)))
	}
	conn, err := w.Node.Dial(ctx, "tcp", netip.AddrPortFrom(to, sinkPort).String())
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintf(conn, "%s %d\n", direction, bytes); err != nil {
		return fail(err)
	}
	r := bufio.NewReader(conn)
	if direction == "up" {
		if err := pour(conn, bytes); err != nil {
			return fail(err)
		}
		if err := json.NewDecoder(r).Decode(&f); err != nil {
			return fail(err)
		}
		return f, nil
	}
	name, err := r.ReadString('\n')
	if err != nil {
		return fail(err)
	}
	if f, err = measure(r, bytes); err != nil {
		return fail(err)
	}
	f.Concentrator = strings.TrimSpace(name)
	return f, nil
}

// startSink serves flows on a concentrator.
func (w *World) startSink(c *Concentrator) error {
	for _, a := range []netip.Addr{InternetV4, InternetV6} {
		ln, err := c.Host.Listen(w.ctx, "tcp", netip.AddrPortFrom(a, sinkPort).String())
		if err != nil {
			return err
		}
		w.serve("sink", func() error {
			defer context.AfterFunc(w.ctx, func() { ln.Close() })()
			for {
				conn, err := ln.Accept()
				if err != nil {
					return err
				}
				w.serve("sink", func() error {
					defer conn.Close()
					defer context.AfterFunc(w.ctx, func() { conn.Close() })()
					sink(conn, c.Name)
					return nil
				})
			}
		})
	}
	return nil
}

// sink serves one flow. Errors are the node's to see.
func sink(conn net.Conn, name string) {
	r := bufio.NewReader(conn)
	var direction string
	var bytes int64
	if _, err := fmt.Fscanf(r, "%s %d\n", &direction, &bytes); err != nil {
		return
	}
	if direction == "down" {
		if _, err := fmt.Fprintln(conn, name); err == nil {
			_ = pour(conn, bytes)
		}
		return
	}
	if f, err := measure(r, bytes); err == nil {
		f.Concentrator = name
		_ = json.NewEncoder(conn).Encode(f)
	}
}

func pour(w io.Writer, bytes int64) error {
	_, err := io.CopyN(w, zeros{}, bytes)
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func measure(r io.Reader, bytes int64) (f Flow, err error) {
	buf := make([]byte, 64<<10)
	skip := bytes / 4
	var first, begin time.Time
	var skipped int64
	for f.Bytes < bytes {
		n, err := r.Read(buf)
		if err != nil {
			return f, fmt.Errorf("after %d bytes: %w", f.Bytes, err)
		}
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		f.Bytes += int64(n)
		if begin.IsZero() && f.Bytes >= skip {
			begin, skipped = now, f.Bytes
		}
		f.Took = now.Sub(first)
		if d := now.Sub(begin); d > 0 && !begin.IsZero() {
			f.Rate = float64(f.Bytes-skipped) * 8 / 1000 / d.Seconds()
		}
	}
	return f, nil
}
