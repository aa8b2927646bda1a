package uplink

import (
	"errors"
	"os"
	"reflect"

	"wguplink/agent/broker"
	"wguplink/agent/status"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// settle publishes what has changed since the last time: as the status file, and as one log line per change of state.
func (u *Uplink) settle() {
	s := u.snapshot()
	s.Since = u.last.Since
	if s.State != u.last.State || s.Cause != u.last.Cause {
		s.Since = status.Now()
	}
	if reflect.DeepEqual(s, u.last) {
		return
	}
	u.last = s
	u.shown.Store(&s)
	if err := status.Write(u.o.RunDir, s); err != nil {
		u.log.Debug("status not written", "err", err)
	}
	u.logState(s)
}

func (u *Uplink) snapshot() status.Snapshot {
	s := status.Snapshot{
		Uplink: u.cfg.Name, PID: os.Getpid(), Interface: u.cfg.Interface,
		WAN: u.wayOutSays(), Clock: u.clockSays, Broker: u.brokerSays, Switches: u.switches,
	}
	if u.keyErr == nil {
		s.PublicKey, s.KeyOrigin = u.key.Public.String(), u.key.Origin
	}
	s.Network = u.networkSays()
	if u.o.Hooked != nil {
		for _, r := range u.o.Hooked(u.cfg.Name) {
			s.Hooks = append(s.Hooks, status.Hook{Name: r.Hook, Event: r.Event, Exit: r.Exit, Last: r.Last})
		}
	}
	if s.Network != nil && s.Network.Exit != "" {
		s.Interface = s.Network.Exit
	}
	if u.applyErr == nil && len(u.applied.Devices) > 0 {
		s.Backend, s.MTU, s.Warnings = u.report.Backend.String(), mtuOf(u.applied, s.Interface), u.report.Warnings
		if v := u.applied.VXLAN; v != nil {
			s.VXLAN, s.VXLANMTU = v.Name, v.MTU
		}
		if m := u.report.Mesh; m != nil {
			s.Batman = &status.Batman{Interface: m.Name, Algorithm: m.Algorithm, Neighbours: m.Neighbours}
		}
	}
	if cur, ok := u.engine.Current(); ok {
		s.Gateway = &status.Gateway{Name: cur.Name, PublicKey: cur.PublicKey.String(), Established: u.connected, HandshakeAt: u.handshake}
		if cur.LinkAddress.IsValid() {
			s.Gateway.LinkAddress = cur.LinkAddress.String()
		}
		if in := u.peers[cur.PublicKey]; in != nil {
			s.Gateway.Endpoint = in.endpoint.String()
		}
	}
	s.State, s.Cause, s.Reason = u.cause()
	return s
}

func (u *Uplink) wayOutSays() string {
	if u.wan == (wan.State{}) {
		return "" // not looked at yet
	}
	return u.wan.String()
}

// cause names the first stage that is not through.
func (u *Uplink) cause() (status.State, status.Cause, string) {
	state := status.Connecting
	if st := u.engine.State(); st == peerselector.Connected || st == peerselector.Switching {
		state = status.Connected
	} else if u.engine.State() == peerselector.Suspect {
		state = status.Suspect
	}
	cur, _ := u.engine.Current()
	switch {
	case u.keyErr != nil:
		return state, status.BadKey, u.keyErr.Error()
	case u.applyErr != nil:
		return state, status.Device, u.applyErr.Error()
	case !u.wan.Up():
		if u.wan == (wan.State{}) {
			return status.Starting, status.None, ""
		}
		return state, status.NoWAN, u.wan.String()
	case state == status.Connected && u.engine.Mute():
		return state, status.NoAnswer, cur.Name + " shook hands, but " + cur.LinkAddress.String() + " does not answer inside the tunnel"
	case state == status.Connected && u.noNeighbour():
		return state, status.NoNeighbour, "the tunnel to " + cur.Name + " is fine, but " + u.report.Mesh.Name + " hears nobody behind it"
	case state == status.Connected:
		return state, status.None, ""
	case state == status.Suspect:
		return state, status.NoAnswer, cur.Name + " is silent; trying others beside it"
	case !u.clockDone:
		return state, status.Clock, "asking for the time"
	}
	return u.unconnected()
}

// unconnected tells brokers that fail from gateways that do not answer.
func (u *Uplink) unconnected() (status.State, status.Cause, string) {
	if u.brokerErr != nil && u.cfg.Protocol.Registers() {
		var e *broker.Error
		if errors.As(u.brokerErr, &e) && e.Kind == broker.NotRegistered {
			return status.Connecting, status.NotRegistered, u.brokerErr.Error()
		}
		if e != nil && e.Kind == broker.Refused {
			return status.Connecting, status.BrokerRefused, u.brokerErr.Error()
		}
		return status.Connecting, status.BrokerUnreachable, u.brokerErr.Error()
	}
	if u.engine.EmptyRounds() == 0 {
		return status.Connecting, status.None, ""
	}
	reason := "no gateway answers"
	if u.resolveErr != nil {
		reason += "; " + u.resolveErr.Error()
	}
	return status.Connecting, status.NoHandshake, reason
}

// logState tells the log and whoever wants to know when the state, its cause or the gateway changed.
func (u *Uplink) logState(s status.Snapshot) {
	gateway := ""
	if s.Gateway != nil {
		gateway = s.Gateway.PublicKey
	}
	line := string(s.State) + string(s.Cause) + gateway
	// A silence that is over before all others were tried in vain is nothing to talk about: a slow line has many.
	doubtful := s.State == status.Suspect && s.Cause == status.NoAnswer && u.engine.EmptyRounds() == 0
	if line == u.lastLogged || doubtful {
		return
	}
	u.lastLogged = line
	if u.o.Changed != nil {
		u.o.Changed(s)
	}
	switch {
	case s.Cause != status.None:
		u.log.Warn(string(s.State), "cause", s.Cause, "reason", s.Reason)
	case s.State == status.Connected:
		u.log.Info("connected", "gateway", s.Gateway.Name, "endpoint", s.Gateway.Endpoint, "backend", s.Backend, "mtu", s.MTU)
	}
}
