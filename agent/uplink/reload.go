package uplink

import (
	"reflect"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/network"
	"wguplink/peerselector"
)

// reload takes a new configuration over. Devices and peers are left alone as far as they are wanted still: what the
// parts find the same stays.
func (l *loop) reload(cfg config.Uplink, now time.Time) {
	old := l.cfg
	l.cfg = cfg
	rekeyed := l.key.update(cfg, now)
	if rekeyed {
		l.rekeying = rekeying{}
	}
	l.registration.Refetch() // a part of the configuration may be with the server
	if reflect.DeepEqual(old, cfg) && !rekeyed {
		return
	}
	l.log.Info("configuration changed")
	l.path = l.o.Machine.Path(cfg, &l.to.Targets)
	another := network.Another(old, cfg)
	if l.key.waiting() && (another || !l.canWait()) {
		l.key.use(l.key.next)
		another = true
	}
	if another {
		// Another network, or another node to it: nothing of the old one may be kept.
		if cur, ok := l.engine.Current(); ok {
			l.journal.leave(cur.Name, reasonConfig)
		}
		l.peers.Clear()
		l.store.forgetGateway()
		l.kind = network.New(cfg)
		l.newEngine()
	} else {
		l.kind = network.Renew(l.kind, cfg)
		if !reflect.DeepEqual(old.Gateways, cfg.Gateways) && !l.kind.Traits().Fetches {
			l.handle(peerselector.Static{Peers: cfg.Gateways})
			l.peers.Update(cfg.Gateways, false)
		}
	}
	if l.configure() {
		l.handle(peerselector.BrokerChanged{})
	}
	if old.Rebalance != cfg.Rebalance {
		l.handle(peerselector.Rebalance{Every: cfg.Rebalance})
	}
	if old.ProbeInterval != cfg.ProbeInterval {
		l.handle(peerselector.Economy{ProbeEvery: cfg.ProbeInterval})
	}
	if old.Fleet != cfg.Fleet {
		l.handle(peerselector.Crowd{Nodes: cfg.Fleet})
	}
	if old.MTU != cfg.MTU {
		l.line.Forget() // to be measured anew
	}
}
