package uplink

import (
	"time"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
)

// meshGrace is how long after a gateway was promoted batman-adv may take to hear of it: hosts tell of themselves every second,
// or every five on Gluon.
const meshGrace = 20 * time.Second

// meshEvery is how often to look for neighbours while there is none; batman-adv has no event for it.
const meshEvery = 5 * time.Second

// onMesh tells the VXLAN what batman-adv shall be told of it. What may go out at most is the best guess of a throughput.
func onMesh(v *tunnel.VXLAN, cfg config.Uplink) {
	v.Throughput, v.HopPenalty = cfg.BatmanLink.Throughput, cfg.BatmanLink.HopPenalty
	if v.Throughput == 0 {
		v.Throughput = cfg.LimitEgress
	}
}

// lookSoon has the mesh looked at again before long while nobody is heard on it.
func (u *Uplink) lookSoon() {
	if at := time.Now().Add(meshEvery); u.alone() && at.Before(u.applyAt) {
		u.applyAt = at
	}
}

// alone says that batman-adv has the tunnel, with a gateway at its other end, and hears nobody on it.
func (u *Uplink) alone() bool {
	_, connected := u.engine.Current()
	return connected && u.report.Mesh != nil && len(u.report.Mesh.Neighbours) == 0
}

// noNeighbour says that it has been so for longer than it takes to be heard.
func (u *Uplink) noNeighbour() bool {
	return u.alone() && u.connected != 0 && status.Now() > u.connected+status.Uptime(meshGrace.Milliseconds())
}
