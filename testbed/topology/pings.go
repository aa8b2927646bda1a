package topology

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"wguplink/testbed/echo"
	"wguplink/testbed/netlab"
)

// Pings are echo requests from the node to the internet by its default route of one family, with the names of the
// concentrators that the replies came from.
type Pings struct {
	counter
	Close func()
}

// Pings starts sending to InternetV4 or InternetV6, one each interval. Close it before the topology.
func (topo *Topology) Pings(to netip.Addr, every time.Duration) (*Pings, error) {
	r := echo.NewRecord("from " + to.String())
	stop, err := pinger(topo.Node, unspecified(to), to, every, topo.byTTL).Start(topo.ctx, r)
	if err != nil {
		return nil, err
	}
	return &Pings{counter{r}, stop}, nil
}

func pinger(from *netlab.Host, own, to netip.Addr, every time.Duration, by func(int) string) echo.Pinger {
	return echo.Pinger{Host: from, Own: own, To: to, Every: every, ID: 1 + rand.IntN(0xffff), By: by}
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// Ping sends echo requests from a host, five a second, until one is answered.
func (topo *Topology) Ping(ctx context.Context, from *netlab.Host, to netip.Addr) error {
	return topo.PingFrom(ctx, from, unspecified(to), to)
}

// PingFrom is Ping from an address of the host.
func (topo *Topology) PingFrom(ctx context.Context, from *netlab.Host, own, to netip.Addr) error {
	r := echo.NewRecord("from " + to.String())
	stop, err := pinger(from, own, to, 200*time.Millisecond, nil).Start(ctx, r)
	if err != nil {
		return err
	}
	defer stop()
	_, err = r.Await(ctx, time.Time{}, nil)
	return err
}

// Reply is one answer to a packet.
type Reply = echo.Reply

// counter is the record of the one sender that there is.
type counter struct{ *echo.Record }

// Count says how many packets went out between two moments, and how many of them were answered.
func (c counter) Count(from, to time.Time) (sent, answered int) { return c.Record.Count("", from, to) }

// Losses tells when what was sent between two moments and not answered was sent: stretches, counted from the first
// moment.
func (c counter) Losses(from, to time.Time) string { return c.Record.Losses("", from, to) }

// Outage is what a damage did to a Pings.
type Outage struct {
	Took         time.Duration // from the damage until the first reply to a packet sent after it; see Await
	Lost         int           // packets sent from the damage until that reply's, and not answered
	Concentrator string        // that answered
}

// Outage waits for the end of an outage that began at a moment: the first reply, to a packet sent after it, that a
// filter takes; nil takes any. Damage that does not stop replies at once needs one, such as NotFrom.
func (p *Pings) Outage(ctx context.Context, damage time.Time, filter func(Reply) bool) (Outage, error) {
	r, err := p.Await(ctx, damage, filter)
	if err != nil {
		return Outage{}, err
	}
	sent, answered := p.Count(damage, r.Sent)
	return Outage{Took: r.At.Sub(damage), Lost: sent - answered, Concentrator: r.Gateway}, nil
}

// NotFrom is a filter for replies of others than that gateway or concentrator.
func NotFrom(name string) func(Reply) bool { return func(r Reply) bool { return r.Gateway != name } }

// byTTL names the concentrator whose packets have that TTL.
func (topo *Topology) byTTL(ttl int) string {
	for _, c := range topo.Parker.Concentrators {
		if ttl == ttlBase+c.ID {
			return c.Name
		}
	}
	return fmt.Sprintf("TTL %d", ttl)
}
