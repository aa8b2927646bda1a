package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// AttemptDelay is how long one address has for itself before the next is tried beside it (RFC 8305, section 5).
const AttemptDelay = 250 * time.Millisecond

// maxTried bounds what is remembered.
const maxTried = 256

// Dialer connects to hosts that may have many addresses, most of which may be dead. It starts with what it knows to be
// good, goes on with what it has not tried, and leaves to the end what it tried last. It may be used by several
// goroutines.
type Dialer struct {
	// Lookup gives the addresses of a host.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to one address.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex
	turn  int
	tried map[netip.AddrPort]int // when an address was tried last; good is for one that gave an answer
}

const good = -1

// DialContext connects to host:port. All addresses get their turn within the context's deadline: each is tried beside
// those before it, as soon as they have had AttemptDelay, or have failed. The connection remembers its address as good
// when it is told to: see Prove.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: no port", addr)
	}
	found, err := d.Lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := d.order(found, uint16(port))
	delay := AttemptDelay
	if end, ok := ctx.Deadline(); ok {
		delay = min(delay, time.Until(end)/time.Duration(2*len(addrs)))
	}
	conn, err := d.race(ctx, network, addrs, delay)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return conn, nil
}

// order gives the families turns, IPv6 first, and then sorts by what is known of each address.
func (d *Dialer) order(found []netip.Addr, port uint16) []netip.AddrPort {
	var six, four, out []netip.AddrPort
	for _, a := range found {
		if a = a.Unmap(); a.Is4() {
			four = append(four, netip.AddrPortFrom(a, port))
		} else {
			six = append(six, netip.AddrPortFrom(a, port))
		}
	}
	for i := range max(len(six), len(four)) {
		out = append(append(out, six[min(i, len(six)):min(i+1, len(six))]...),
			four[min(i, len(four)):min(i+1, len(four))]...)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// By insertion: a name has a handful of addresses.
	for i := range out {
		for ; i > 0 && d.tried[out[i]] < d.tried[out[i-1]]; i-- {
			out[i], out[i-1] = out[i-1], out[i]
		}
	}
	return out
}

// race starts one attempt after the other, and gives the first connection that is there.
func (d *Dialer) race(ctx context.Context, network string, addrs []netip.AddrPort,
	delay time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	started, open := 0, 0
	// The losers end with the context; one that connects all the same is closed.
	defer func() {
		cancel()
		go func() {
			for ; open > 0; open-- {
				if r := <-results; r.conn != nil {
					r.conn.Close()
				}
			}
		}()
	}()
	var errs []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for started < len(addrs) || open > 0 {
		select {
		case <-timer.C:
			if started == len(addrs) {
				continue
			}
			a := addrs[started]
			started++
			open++
			d.note(a)
			go func() {
				c, err := d.Dial(ctx, network, a.String())
				if err == nil {
					c = &connection{c, d, a}
				}
				results <- result{c, err}
			}()
			timer.Reset(delay)
		case r := <-results:
			open--
			if r.err == nil {
				return r.conn, nil
			}
			errs = append(errs, r.err)
			timer.Reset(0)
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d addresses tried: %w", started, len(addrs), ctx.Err())
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return nil, errors.Join(errs...)
}

// note remembers that an address has had its turn.
func (d *Dialer) note(a netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tried == nil || len(d.tried) >= maxTried {
		d.tried = make(map[netip.AddrPort]int)
	}
	d.turn++
	d.tried[a] = d.turn
}

// connection knows which address it leads to.
type connection struct {
	net.Conn
	d *Dialer
	a netip.AddrPort
}

// Prove says that the server behind this address gave an answer: it comes first from now on.
func (c *connection) Prove() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.tried[c.a] = good
}
