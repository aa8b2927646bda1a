package uplink

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// With Parker's protocol the gateways, here called concentrators, and what the node itself is come from a signed
// configuration. Each concentrator has a device of its own, and all of them have their sessions, so that the next one is
// ready; which one is in use shows in the default routes alone.

// Restorer is a Registrar that can go on with an answer of an earlier run.
type Restorer interface {
	Restore(saved []byte, key peerselector.Key) (broker.Answer, error)
}

const (
	// fetchFirst and fetchMost bound the waits between vain requests for a configuration while a gateway is in use, or the
	// clock is waited for. Without a gateway the engine says when to ask.
	fetchFirst = 3 * time.Second
	fetchMost  = 10 * time.Minute
	// checkMost is the longest wait between two rounds of handshakes when nobody answers. A network's own servers are asked, not
	// a broker's many, and its operators wish for about so much (wgkex, PARKER.md).
	checkMost = 10 * time.Second
	// voidAfter is when a session without an answer is void (REJECT_AFTER_TIME in the WireGuard paper, section 6.1): then no
	// default route may lead into it, even while there is no WAN to look for another.
	voidAfter = 180 * time.Second
)

// concentrator finds the one with that key in the network; nil when there is none.
func (u *Uplink) concentrator(k peerselector.Key) *broker.Concentrator {
	if u.network == nil {
		return nil
	}
	for i := range u.network.Concentrators {
		if c := &u.network.Concentrators[i]; c.Peer.PublicKey == k {
			return c
		}
	}
	return nil
}

// deviceOf names the device that a peer is on.
func (u *Uplink) deviceOf(k peerselector.Key) string {
	if u.cfg.Protocol != config.Parker {
		return u.cfg.Interface
	}
	if c := u.concentrator(k); c != nil {
		return u.deviceName(c)
	}
	return ""
}

func (u *Uplink) deviceName(c *broker.Concentrator) string {
	return u.cfg.Interface + strconv.Itoa(c.ID)
}

// deviceNames are those of all WireGuard devices that there should be.
func (u *Uplink) deviceNames() []string {
	if u.cfg.Protocol != config.Parker {
		return []string{u.cfg.Interface}
	}
	var names []string
	if u.network != nil {
		for i := range u.network.Concentrators {
			names = append(names, u.deviceName(&u.network.Concentrators[i]))
		}
	}
	return names
}

// desiredNetwork is the kernel state that the signed configuration asks for.
func (u *Uplink) desiredNetwork() tunnel.Desired {
	d := tunnel.Desired{Name: u.cfg.Name, Exit: &tunnel.Exit{}}
	for _, dev := range []string{u.wan.Dev4, u.wan.Dev6} {
		if dev != "" {
			d.Exit.Keep = append(d.Exit.Keep, dev)
		}
	}
	if u.network == nil {
		return d
	}
	n := u.network
	for i := range n.Concentrators {
		c := &n.Concentrators[i]
		dev := u.device(u.deviceName(c))
		dev.Unrouted, dev.Claim = true, true
		dev.Addresses = []tunnel.Address{
			{Prefix: netip.PrefixFrom(n.Address4, n.Address4.BitLen()), Peer: c.Address4},
			{Prefix: netip.PrefixFrom(n.Address6, n.Address6.BitLen()), Peer: c.Address6},
		}
		if in := u.present(c.Peer.PublicKey); in != nil && in.endpoint.IsValid() {
			p := u.peer(in)
			p.AllowedIPs = in.peer.AllowedIPs // there is nobody to share them with on this device
			dev.Peers = []tunnel.Peer{p}
		}
		d.Devices = append(d.Devices, dev)
	}
	// Without a way out the exit is of no use, and where it is itself what keeps the kernel from the WAN, it is the cause.
	if cur, ok := u.engine.Current(); ok && !u.void() && !(u.wan.Mesh && !u.wan.Up()) {
		if c := u.concentrator(cur.PublicKey); c != nil {
			d.Exit.Device, d.Exit.Via4, d.Exit.Via6 = u.deviceName(c), c.Address4, c.Address6
		}
	}
	return d
}

// void says that the session of the gateway in use is.
func (u *Uplink) void() bool { return u.engine.Silence(time.Now()) >= voidAfter }

// present is what is known of a peer, whether it takes part in the race or stands by.
func (u *Uplink) present(k peerselector.Key) *installed {
	if in := u.peers[k]; in != nil {
		return in
	}
	return u.standby[k]
}

// standBy lets a peer that is not used any more keep its session, if its device stays.
func (u *Uplink) standBy(in *installed) {
	in.promoted = false
	if in.endpoint.IsValid() && u.concentrator(in.peer.PublicKey) != nil {
		u.standby[in.peer.PublicKey] = in
		return
	}
	u.standbyAt = time.Time{}
}

// standbyEvery is how often to look up the name of a concentrator of which nothing is known yet.
const standbyEvery = 20 * time.Second

// standByAll brings all concentrators up that are not, once one is in use: before, they would all shake hands at once, and the
// race would not be one. It goes by standbyAt; true means that the tunnel has to be applied.
func (u *Uplink) standByAll() (changed bool) {
	now := time.Now()
	if _, ok := u.engine.Current(); !ok || u.network == nil || now.Before(u.standbyAt) {
		return false
	}
	u.standbyAt = now.Add(standbyEvery)
	for _, c := range u.network.Concentrators {
		if u.present(c.Peer.PublicKey) != nil {
			continue
		}
		in := &installed{peer: c.Peer}
		u.standby[c.Peer.PublicKey] = in
		u.resolve(in)
		changed = u.aim(in) || changed
	}
	return changed
}

// takeNetwork makes a configuration the valid one. Devices, sessions and addresses that are the same stay.
func (u *Uplink) takeNetwork(n *broker.Network) {
	old := u.network
	u.network = n
	u.fetchFails = 0
	u.fetchAt = time.Now().Add(n.Retry + time.Duration(intn(int64(n.Retry/10)+1)))
	peers := u.concentrators()
	if old == nil || !reflect.DeepEqual(old.Concentrators, n.Concentrators) {
		for k := range u.standby {
			if u.concentrator(k) == nil {
				delete(u.standby, k)
			}
		}
		u.movePeers(peers)
		u.handle(peerselector.Static{Peers: peers})
	}
	if old == nil || !sameNetwork(old, n) {
		u.log.Info("configuration taken", "id", n.ID, "gateways", len(n.Concentrators), "mtu", n.MTU, "address4", n.Address4, "address6", n.Address6)
		u.standbyAt = time.Time{}
		u.standByAll()
		u.apply()
	}
}

// sameNetwork says that nothing differs that is applied.
func sameNetwork(a, b *broker.Network) bool {
	x, y := *a, *b
	x.Config, x.Saved, x.Time, x.Retry = nil, nil, time.Time{}, 0
	y.Config, y.Saved, y.Time, y.Retry = nil, nil, time.Time{}, 0
	return reflect.DeepEqual(x, y)
}

// movePeers gives the peers on the devices what is said of them now. One that has moved keeps its session.
func (u *Uplink) movePeers(peers []peerselector.Peer) {
	for _, p := range peers {
		in := u.present(p.PublicKey)
		if in == nil {
			continue
		}
		moved := !reflect.DeepEqual(in.peer.Endpoints, p.Endpoints)
		in.peer = p
		if moved {
			u.reaim(p)
		}
	}
}

// networkFile is where the last good answer lies; in RAM.
func (u *Uplink) networkFile() string { return filepath.Join(u.o.RunDir, u.cfg.Name+".signed") }

func (u *Uplink) saveNetwork() {
	name := u.networkFile()
	err := os.WriteFile(name+".tmp", u.network.Saved, 0o600)
	if err == nil {
		err = os.Rename(name+".tmp", name)
	}
	if err != nil {
		u.log.Warn("the configuration is not kept for a restart of the agent", "err", err)
	}
}

// restoreNetwork goes on with the configuration of an agent before us, whose signature is checked once more. It is asked for
// anew all the same: it may be old.
func (u *Uplink) restoreNetwork() bool {
	saved, err := os.ReadFile(u.networkFile())
	if err != nil || u.keyErr != nil {
		return false
	}
	r, err := u.newRegistrar()
	if err != nil {
		return false // said when it is asked
	}
	u.registrar = r
	a, err := r.(Restorer).Restore(saved, peerselector.Key(u.key.Public))
	if err != nil {
		u.log.Warn("the configuration kept from before is not used", "err", err)
		return false
	}
	u.network = a.Network
	for i := range a.Network.Concentrators {
		c := &a.Network.Concentrators[i]
		if endpoint, ok := u.atWork(c.Peer); ok {
			u.standby[c.Peer.PublicKey] = &installed{peer: c.Peer, endpoint: endpoint}
		}
	}
	u.handle(peerselector.Static{Peers: u.concentrators()})
	return true
}

// concentrators are the peers of the network.
func (u *Uplink) concentrators() (peers []peerselector.Peer) {
	for _, c := range u.network.Concentrators {
		peers = append(peers, c.Peer)
	}
	return peers
}

// fetchLater is for a request in vain.
func (u *Uplink) fetchLater(after time.Duration) {
	wait := fetchFirst << min(u.fetchFails, 10)
	u.fetchFails++
	wait = min(wait, fetchMost)
	u.fetchAt = time.Now().Add(after + wait/2 + time.Duration(intn(int64(wait))))
}

// fetchDue is when to ask for the configuration without being told to by the engine; ok is false when that is not the loop's
// business: without a gateway in use the engine knows best when to ask.
func (u *Uplink) fetchDue() (at time.Time, ok bool) {
	if u.cfg.Protocol != config.Parker || u.asking || !u.wan.Up() || u.keyErr != nil {
		return time.Time{}, false
	}
	_, current := u.engine.Current()
	return u.fetchAt, current || !u.clockDone
}

func (u *Uplink) fetch() {
	if at, ok := u.fetchDue(); ok && !time.Now().Before(at) {
		u.ask()
	}
}

// narrow6 says that WireGuard packets of the network's size do not fit the WAN's IPv6.
func (u *Uplink) narrow6() bool {
	if u.network == nil || u.wan.Dev6 == "" {
		return false
	}
	mtu, err := wan.MTU6(u.wan.Dev6)
	return err == nil && mtu < u.network.MTU+wireguardOverhead
}

// networkSays is the network's part of the status.
func (u *Uplink) networkSays() *status.Network {
	n := u.network
	if n == nil {
		return nil
	}
	s := &status.Network{ID: n.ID, Address4: n.Address4.String(), Address6: n.Address6.String(), Range4: n.Range4.String(), Range6: n.Range6.String()}
	if n.XLATRange6.IsValid() {
		s.XLATRange6 = n.XLATRange6.String()
	}
	if d := u.applied.Exit; d != nil {
		s.Exit = d.Device
	}
	for i := range n.Concentrators {
		c := &n.Concentrators[i]
		t := status.Tunnel{Interface: u.deviceName(c), Gateway: c.Peer.Name}
		if in := u.present(c.Peer.PublicKey); in != nil {
			t.HandshakeAt = in.handshake
			if in.endpoint.IsValid() {
				t.Endpoint = in.endpoint.String()
			}
		}
		s.Tunnels = append(s.Tunnels, t)
	}
	return s
}
