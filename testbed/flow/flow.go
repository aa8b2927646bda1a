// Package flow measures TCP flows between a client and a sink.
package flow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Port is where sinks take flows.
const Port = 9

// Flow is a measured flow.
type Flow struct {
	Sink  string        // its name
	Bytes int64         // all that arrived
	Took  time.Duration // from the first byte to the last
	// Rate is in kbit/s, payload only. The first quarter of the bytes is not in it: buffers and bursts let that pass
	// faster.
	Rate float64
}

// The receiver of the bytes measures them. A client asks in one line: the direction and the bytes. The answer to "up"
// is the sink's measurement as JSON, to "down" its name and the bytes.

// Up sends so many bytes to the sink at the other end of a connection.
func Up(conn net.Conn, bytes int64) (f Flow, err error) {
	if _, err := fmt.Fprintf(conn, "up %d\n", bytes); err != nil {
		return f, err
	}
	if err := pour(conn, bytes); err != nil {
		return f, err
	}
	err = json.NewDecoder(conn).Decode(&f)
	return f, err
}

// Down has the sink at the other end of a connection send so many bytes.
func Down(conn net.Conn, bytes int64) (f Flow, err error) {
	if _, err := fmt.Fprintf(conn, "down %d\n", bytes); err != nil {
		return f, err
	}
	r := bufio.NewReader(conn)
	name, err := r.ReadString('\n')
	if err != nil {
		return f, err
	}
	f, err = measure(r, bytes)
	f.Sink = strings.TrimSpace(name)
	return f, err
}

// Serve serves the flows of a listener until ctx ends; then it waits for the last. Errors of a flow are its client's to
// see.
func Serve(ctx context.Context, ln net.Listener, name string) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var flows sync.WaitGroup
	defer flows.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		flows.Add(1)
		go func() {
			defer flows.Done()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			_ = serve(conn, name)
		}()
	}
}

func serve(conn net.Conn, name string) error {
	r := bufio.NewReader(conn)
	var direction string
	var bytes int64
	if _, err := fmt.Fscanf(r, "%s %d\n", &direction, &bytes); err != nil {
		return err
	}
	if direction == "down" {
		if _, err := fmt.Fprintln(conn, name); err != nil {
			return err
		}
		return pour(conn, bytes)
	}
	f, err := measure(r, bytes)
	if err != nil {
		return err
	}
	f.Sink = name
	return json.NewEncoder(conn).Encode(f)
}

func pour(w io.Writer, bytes int64) error {
	_, err := io.CopyN(w, zeros{}, bytes)
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func measure(r io.Reader, bytes int64) (f Flow, err error) {
	first := time.Now()
	skipped, err := io.CopyN(io.Discard, r, bytes/4)
	begin := time.Now()
	if err == nil {
		f.Bytes, err = io.CopyN(io.Discard, r, bytes-skipped)
	}
	rest := time.Since(begin)
	f.Took = time.Since(first)
	switch {
	case err != nil:
		return f, fmt.Errorf("after %d bytes: %w", skipped+f.Bytes, err)
	case rest <= 0:
		return f, errors.New("the flow took no time")
	}
	f.Rate = float64(f.Bytes) * 8 / 1000 / rest.Seconds()
	f.Bytes += skipped
	return f, nil
}
