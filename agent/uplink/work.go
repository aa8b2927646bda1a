package uplink

import (
	"context"
	"time"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/wan"
)

// resolveTimeout bounds one look-up of a gateway's names. The engine replaces a gateway that takes longer anyhow.
const resolveTimeout = 5 * time.Second

// The keys of jobs that are none of a part's own.
type (
	// wanWatch is what the watch of the WAN depends on; its destinations it follows by itself.
	wanWatch struct {
		ours   linkWatch
		mark   uint32
		system bool // the name servers of resolv.conf are asked
	}
	linkWatch struct {
		protocol              config.Protocol
		device, vxlan, batman string
		mode                  config.Mode
	}
	query  int
	lookup int
)

// work is what shall be under way beside the loop at this moment.
func (l *loop) work() []job {
	all := []job{l.watchWAN(), l.watchLinks()}
	if j, ok := l.clock.Job(); ok {
		all = append(all, job{j, func(ctx context.Context, post func(event)) {
			post(clocked{j.Run(ctx, func(a clock.Answer) { post(clocked{a}) })})
		}})
	}
	if q, ok := l.registration.Query(); ok {
		all = append(all, job{query(q.Number), func(ctx context.Context, post func(event)) {
			post(registered{q.Run(ctx)})
		}})
	}
	path := l.path
	for _, n := range l.peers.Lookups() {
		all = append(all, job{lookup(n.Number), func(ctx context.Context, post func(event)) {
			ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
			defer cancel()
			addrs, err := wan.Endpoints(ctx, path.Resolve, n.Endpoints)
			post(resolved{n, addrs, err})
		}})
	}
	if m, ok := l.measurement(); ok {
		all = append(all, job{m, func(ctx context.Context, post func(event)) {
			n, err := l.o.Machine.Measure(ctx, m)
			post(measured{n, err})
		}})
	}
	return all
}

func (l *loop) watchWAN() job {
	path := l.path
	key := wanWatch{l.linkWatch(), l.cfg.FwMark, len(l.cfg.DNSServers) == 0}
	return job{key, func(ctx context.Context, post func(event)) {
		states := make(chan wan.State)
		ended := make(chan error, 1)
		go func() { ended <- path.Watch(ctx, states) }()
		for {
			select {
			case s := <-states:
				post(wanState{s})
			case err := <-ended:
				if err != nil {
					post(failed{err})
				}
				return
			}
		}
	}}
}

// linkWatch is what config.Uplink.Carries depends on.
func (l *loop) linkWatch() linkWatch {
	return linkWatch{l.cfg.Protocol, l.cfg.Interface, l.cfg.VXLAN.Name, l.cfg.Batman, l.cfg.Mode}
}

func (l *loop) watchLinks() job {
	cfg := l.cfg
	exits := l.kind.Traits().Exits || cfg.Mode == config.ModeLayer3 // what is by the tunnel depends on them
	return job{l.linkWatch(), func(ctx context.Context, post func(event)) {
		if err := l.o.Machine.WatchLinks(ctx, cfg.Carries, exits, func() { post(linksChanged{}) }); err != nil {
			post(failed{err})
		}
	}}
}

// measurement is what the path to the gateway in use shall be measured by.
func (l *loop) measurement() (m health.Measurement, ok bool) {
	cur, ok := l.engine.Current()
	if !ok || l.devices.err != nil {
		return m, false
	}
	return l.line.Measurement(health.Gateway{Name: cur.Name, Device: l.kind.Device(cur.PublicKey),
		Address: cur.LinkAddress}, l.mtu())
}
