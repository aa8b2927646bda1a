package gatewayvm

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/echo"
	"wguplink/testbed/gateway"
	"wguplink/testbed/topology"
)

// Reply is the answer of the node to an echo request.
type Reply struct {
	Gateway string `json:"gateway"` // that had sent the request
	Sent    int64  `json:"sent"`    // microseconds, as `now` tells
	At      int64  `json:"at"`
}

// Count is how many requests went out, and how many of them were answered.
type Count struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
}

func (f *Server) know(text string) error {
	var k peerselector.Key
	if err := k.UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("key %q: %w", text, err)
	}
	return f.topo.Know(k)
}

func (f *Server) plain(text string) error {
	if err := f.know(text); err != nil {
		return err
	}
	key, err := wgtypes.ParseKey(text)
	if err != nil {
		return err
	}
	for _, g := range f.topo.Gateways {
		err := g.Host.Do(func() error {
			c, err := wgctrl.New()
			if err != nil {
				return err
			}
			defer c.Close()
			node := net.IPNet{IP: NodePlain.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}
			return c.ConfigureDevice(gateway.DefaultInterface, wgtypes.Config{Peers: []wgtypes.PeerConfig{
				{PublicKey: key, UpdateOnly: true, AllowedIPs: []net.IPNet{node}},
			}})
		})
		if err == nil {
			err = g.Host.Addr(gateway.DefaultInterface, GatewayPlain)
		}
		if err != nil {
			return fmt.Errorf("gateway %s: %w", g.Name, err)
		}
	}
	return nil
}

func milliseconds(text string) (time.Duration, error) {
	ms, err := strconv.Atoi(text)
	if err != nil || ms < 0 {
		return 0, fmt.Errorf("%q is no number of milliseconds", text)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func bounded(text string) (context.Context, context.CancelFunc, error) {
	d, err := milliseconds(text)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, fmt.Errorf("nothing for %v", d))
	return ctx, cancel, nil
}

func (f *Server) handshake(args []string) (string, error) {
	ctx, cancel, err := bounded(args[0])
	if err != nil {
		return "", err
	}
	defer cancel()
	name, _, err := f.topo.AwaitHandshake(ctx)
	return name, err
}

func (f *Server) ping(interval string, from func(gateway int) netip.Prefix, to netip.Prefix) error {
	every, err := milliseconds(interval)
	if err != nil {
		return err
	}
	if f.pings != nil {
		f.pings.Close()
		f.pings = nil
	}
	if every == 0 {
		return nil
	}
	f.pings = echo.New(every)
	for i, g := range f.topo.Gateways {
		if err := f.pings.Send(g.Host, g.Name, from(i+1).Addr(), to.Addr(), i+1); err != nil {
			return err
		}
	}
	return nil
}

func (f *Server) reply(args []string) (string, error) {
	after, err := f.moment(args[0])
	if err != nil {
		return "", err
	}
	ctx, cancel, err := bounded(args[2])
	if err != nil {
		return "", err
	}
	defer cancel()
	if f.pings == nil {
		return "", fmt.Errorf("no gateway sends requests; say ping before")
	}
	r, err := f.pings.Await(ctx, after, topology.NotFrom(args[1]))
	if err != nil {
		return "", err
	}
	return encode(Reply{Gateway: r.Gateway, Sent: r.Sent.Sub(f.start).Microseconds(),
		At: r.At.Sub(f.start).Microseconds()})
}

func (f *Server) lost(args []string) (string, error) {
	after, err := f.moment(args[1])
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil || n < 1 {
		return "", fmt.Errorf("%q is no number of answers", args[2])
	}
	ctx, cancel, err := bounded(args[3])
	if err != nil {
		return "", err
	}
	defer cancel()
	if f.pings == nil {
		return "", fmt.Errorf("no gateway sends requests; say ping before")
	}
	back, err := f.pings.AwaitStreak(ctx, args[0], time.Now(), n)
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(f.pings.Lost(args[0], after, back).Milliseconds(), 10), nil
}

func (f *Server) count(args []string) (string, error) {
	after, err := f.moment(args[1])
	if err != nil {
		return "", err
	}
	before, err := f.moment(args[2])
	if err != nil {
		return "", err
	}
	if f.pings == nil {
		return "", fmt.Errorf("no gateway sends requests; say ping before")
	}
	sent, answered := f.pings.Count(args[0], after, before)
	return encode(Count{sent, answered})
}
