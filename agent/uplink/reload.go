package uplink

import (
	"reflect"
	"slices"
	"time"

	"wguplink/agent/config"
	"wguplink/peerselector"
)

// reconfigure takes a new configuration over. Devices and peers are left alone as far as they are wanted still.
func (u *Uplink) reconfigure(cfg config.Uplink) {
	old := u.cfg
	u.cfg = cfg
	rekeyed := u.reloadKey()
	if cfg.Protocol == config.Parker {
		u.fetchAt, u.fetchFails = time.Time{}, 0 // a part of the configuration is with the server
	}
	if reflect.DeepEqual(old, cfg) && !rekeyed {
		return
	}
	u.log.Info("configuration changed")
	u.path = u.wayOut()
	others := rekeyed || !sameBrokers(old, cfg)
	if others {
		u.registrar = nil // made anew when it is needed
		u.brokerErr, u.brokerSays = nil, ""
	}
	if old.Protocol != cfg.Protocol || old.Domain != cfg.Domain || rekeyed {
		// Another network, or another node to it: nothing of the old one may be kept.
		clear(u.peers)
		clear(u.standby)
		u.network = nil
		u.forgetGateway()
		u.newEngine()
	} else if !reflect.DeepEqual(old.Gateways, cfg.Gateways) {
		u.handle(peerselector.Static{Peers: cfg.Gateways})
		u.refreshPeers()
	}
	if others {
		u.fetchAt, u.fetchFails = time.Time{}, 0
		u.handle(peerselector.BrokerChanged{})
	}
	if old.Rebalance != cfg.Rebalance {
		u.handle(peerselector.Rebalance{Every: cfg.Rebalance})
	}
	if old.ProbeInterval != cfg.ProbeInterval {
		u.handle(peerselector.Economy{ProbeEvery: cfg.ProbeInterval})
	}
	if old.MTU != cfg.MTU {
		u.line = pathMTU{} // to be measured anew
	}
	if old.FwMark != cfg.FwMark || old.Interface != cfg.Interface {
		u.watchWAN()
	}
	if old.Protocol != cfg.Protocol || old.Interface != cfg.Interface || old.VXLAN.Name != cfg.VXLAN.Name || old.Mode != cfg.Mode || old.Batman != cfg.Batman {
		u.watchLinks()
	}
	u.apply()
	u.proceed()
}

// sameBrokers says that a registration would go the same way.
func sameBrokers(a, b config.Uplink) bool {
	return reflect.DeepEqual(a.Brokers, b.Brokers) && a.BrokerCA == b.BrokerCA && slices.Equal(a.BrokerPins, b.BrokerPins) &&
		a.BrokerTimeout == b.BrokerTimeout && a.Domain == b.Domain && a.Location == b.Location && a.LinkLocal == b.LinkLocal &&
		a.FwMark == b.FwMark && slices.Equal(a.DNSServers, b.DNSServers) && a.ConfigKey == b.ConfigKey && a.OwnChoice == b.OwnChoice && a.NodeName == b.NodeName &&
		a.WANDevice == b.WANDevice && a.LimitIngress == b.LimitIngress && a.LimitEgress == b.LimitEgress
}

// refreshPeers gives the peers on the device what the configuration says of them now.
func (u *Uplink) refreshPeers() {
	for _, p := range u.cfg.Gateways {
		if in := u.peers[p.PublicKey]; in != nil {
			in.peer = p
		}
	}
}
