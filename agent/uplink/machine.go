package uplink

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/alarm"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
)

// Machine is the machine that an uplink runs on.
type Machine struct {
	Open       func() (Kernel, error)
	NewEcho    func(replied func(Reply)) Echo // replied is called from another goroutine
	NewAlarm   func() *alarm.Alarm
	NewTraffic func() Traffic
	// Path asks the kernel for the way to the targets.
	Path func(config.Uplink, *wan.Targets) Path
	// WatchLinks calls changed when one of the devices that mine tells, or with exits a default route, has changed,
	// until ctx ends.
	WatchLinks func(ctx context.Context, mine func(device string) bool, exits bool, changed func()) error
	Measure    func(context.Context, health.Measurement) (int, error)
}

// Kernel is what the kernel does for the tunnel; see tunnel.Tunnel.
type Kernel interface {
	Apply(context.Context, tunnel.Desired) (tunnel.Report, error)
	Remove(tunnel.Desired) error
	Status(device string) (*wgtypes.Device, error)
	Close()
}

// Echo sends probes; see health.Echo.
type Echo interface {
	Send(device string, to netip.Addr) error
	Close()
}

// Traffic is what devices have received; see health.Traffic.
type Traffic interface {
	Received(devices []string) (packets uint64, ok bool)
	Close()
}

// Path is the way to the WAN; see wan.Path.
type Path interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// Watch sends the state of the WAN, and each change of it, until ctx ends.
	Watch(ctx context.Context, states chan<- wan.State) error
	// MTU is that of the path to an endpoint, as far as the kernel knows it; MTU6 that of a device for IPv6. Both are
	// in bytes.
	MTU(to netip.AddrPort) (int, error)
	MTU6(device string) (int, error)
	// Local is what the node has on these devices of the WAN.
	Local(devices ...string) (wan.Local, error)
}

// Linux is the machine as it is. spawn is nil in a build without userspace WireGuard.
func Linux(spawn tunnel.Spawner) Machine {
	return Machine{
		Open: func() (Kernel, error) { return tunnel.Open(spawn) },
		NewEcho: func(replied func(Reply)) Echo {
			return health.NewEcho(func(from netip.Addr, rtt time.Duration) { replied(Reply{from, rtt}) })
		},
		NewAlarm:   alarm.New,
		NewTraffic: func() Traffic { return health.NewTraffic() },
		Path: func(u config.Uplink, to *wan.Targets) Path {
			return path{wan.Path{Mark: u.FwMark, DNS: u.DNSServers, Own: u.Carries, To: to}}
		},
		WatchLinks: func(ctx context.Context, mine func(string) bool, exits bool, changed func()) error {
			c := make(chan struct{}, 1)
			go func() {
				for {
					select {
					case <-c:
						changed()
					case <-ctx.Done():
						return
					}
				}
			}()
			return tunnel.Watch(ctx, mine, exits, c)
		},
		Measure: func(ctx context.Context, m health.Measurement) (int, error) { return m.Run(ctx) },
	}
}

type path struct{ wan.Path }

func (path) MTU6(device string) (int, error) { return wan.MTU6(device) }

func (path) Local(devices ...string) (wan.Local, error) { return wan.ReadLocal(devices...) }
