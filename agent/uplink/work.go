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
	wanWatch struct {
		protocol config.Protocol
		device   string
		mark     uint32
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
			a, err := q.Run(ctx)
			post(registered{a, err})
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
	return job{wanWatch{l.cfg.Protocol, l.cfg.Interface, l.cfg.FwMark}, func(ctx context.Context, post func(event)) {
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

func (l *loop) watchLinks() job {
	cfg, exits := l.cfg, l.kind.Traits().Exits
	key := linkWatch{cfg.Protocol, cfg.Interface, cfg.VXLAN.Name, cfg.Batman, cfg.Mode}
	mine := func(name string) bool {
		return cfg.Owns(name) || cfg.Mode == config.ModeVXLAN && name == cfg.VXLAN.Name || name == cfg.Batman
	}
	return job{key, func(ctx context.Context, post func(event)) {
		if err := l.o.Machine.WatchLinks(ctx, mine, exits, func() { post(linksChanged{}) }); err != nil {
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
		Address: cur.LinkAddress}, l.devices.mtu())
}
