package recovery

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/topology"
)

// action is something that happens to a node. do returns when what it should bring about is there.
type action struct {
	name   string
	target time.Duration
	do     func(*scene, context.Context) error
	// remakes says that the VXLAN is made anew. The agent does that twice within 30 s only where it has to, and
	// batman-adv takes only one jump of a sequence number in 30 s: so each of these waits for the end of the one
	// before.
	remakes bool
}

const (
	inPlace = time.Second     // what is changed on the devices that are there
	anew    = 6 * time.Second // a device that is made anew, at batman-adv's default interval of a second
)

// remakeGap is 30 s, and a little more.
const remakeGap = 32 * time.Second

// actions in an order in which those that make a device anew are apart.
var actions = []action{
	{"restart", inPlace, (*scene).restartAgent, false},
	{"upgrade", inPlace, (*scene).upgrade, false},
	{"reload: keepalive", inPlace, func(s *scene, ctx context.Context) error {
		s.set("keepalive", "15")
		return s.reload(ctx, "keepalive set", func() bool {
			return s.wireguard(func(d *wgtypes.Device) bool {
				return len(d.Peers) > 0 && d.Peers[0].PersistentKeepaliveInterval == 15*time.Second
			})
		})
	}, false},
	{"reload: MTU", inPlace, func(s *scene, ctx context.Context) error {
		s.set("mtu", "1390")
		return s.reload(ctx, "MTU set", func() bool {
			return s.vxlan(func(v *netlink.Vxlan) bool { return v.MTU == 1390-70 })
		})
	}, false},
	{"reload: gateways", inPlace, func(s *scene, ctx context.Context) error {
		s.more = []string{s.Topology.Sections()}
		n := len(s.Agent.Lines())
		if err := s.configure(); err != nil {
			return err
		}
		_, err := s.Agent.WaitLineFrom(ctx, n, "configuration changed")
		return err
	}, false},
	{"reload: key", inPlace, (*scene).newKey, false},
	{"id changed", anew, func(s *scene, ctx context.Context) error {
		s.set("vxlan_id", fmt.Sprint(otherID))
		return s.reload(ctx, "id set",
			func() bool { return s.vxlan(func(v *netlink.Vxlan) bool { return v.VxlanId == otherID }) })
	}, true},
	{"device deleted by others", anew, (*scene).deleted, true},
	{"port changed", anew, func(s *scene, ctx context.Context) error {
		s.set("vxlan_port", fmt.Sprint(otherPort))
		return s.reload(ctx, "port set",
			func() bool { return s.vxlan(func(v *netlink.Vxlan) bool { return v.Port == otherPort }) })
	}, true},
	{"checksum changed", anew, func(s *scene, ctx context.Context) error {
		s.set("vxlan_checksum", "0")
		return s.reload(ctx, "checksum set",
			func() bool { return s.vxlan(func(v *netlink.Vxlan) bool { return v.UDP6ZeroCSumTx }) })
	}, true},
}

// cost is for how long pings are lost from an action on, until they go through the mesh again, and when it was done.
func (s *scene) cost(ctx context.Context, a action) (lost, done time.Duration, err error) {
	if a.remakes {
		if err := topology.Pause(ctx, remakeGap); err != nil {
			return 0, 0, err
		}
	}
	// From a mesh that is well.
	if err := s.settled(ctx); err != nil {
		return 0, 0, fmt.Errorf("before it: %w", err)
	}
	gateway, from := s.gateway, time.Now()
	if err := a.do(s, ctx); err != nil {
		return 0, 0, err
	}
	done = time.Since(from)
	if s.gateway != gateway {
		return 0, done, fmt.Errorf("%w: from %s to %s", errMoved, gateway, s.gateway)
	}
	back, err := s.back(ctx)
	if err != nil {
		back = time.Now()
	}
	return s.pings.Lost(gateway, from, back), done, err
}

func (s *scene) set(option string, values ...string) { s.options[option] = values }

// configure writes the node's configuration, with the key that the agent has stored in it, and has the agent read it.
func (s *scene) configure() error {
	text, err := os.ReadFile(filepath.Join(s.Agent.Dir, "wguplink"))
	if err != nil {
		return err
	}
	stored := regexp.MustCompile(`option private_key '([^']*)'`).FindSubmatch(text)
	if _, given := s.options["private_key"]; !given && stored != nil {
		s.set("private_key", string(stored[1]))
	}
	if err := s.Agent.Configure(topology.UCI(s.options, s.more...)); err != nil {
		return err
	}
	return s.Agent.Signal(unix.SIGHUP)
}

// reload is configure, and waits until something holds of the node's devices.
func (s *scene) reload(ctx context.Context, what string, done func() bool) error {
	if err := s.configure(); err != nil {
		return err
	}
	return s.look(ctx, what, done)
}

// restartAgent ends the agent and starts another, as the start script's restart does.
func (s *scene) restartAgent(ctx context.Context) error {
	if err := s.Restart(ctx); err != nil {
		return err
	}
	_, err := s.until(ctx, "connected again",
		func(st topology.Status) bool { return st.PID == s.Agent.PID() && topology.Connected(st) })
	return err
}

// upgrade is a restart with another program in the agent's place, after a while without any: a package is unpacked
// meanwhile.
func (s *scene) upgrade(ctx context.Context) error {
	if err := s.Agent.Stop(ctx); err != nil {
		return err
	}
	program, err := os.ReadFile(s.Agent.Binary)
	if err != nil {
		return err
	}
	// Not beside the old one, which the other topologies have, too: none may write what another runs.
	next := filepath.Join(filepath.Dir(s.Agent.Dir), "wguplink-next")
	if err := os.WriteFile(next, program, 0o755); err != nil {
		return err
	}
	if _, err := s.back(ctx); err != nil {
		return err
	}
	s.Agent.Binary = next
	return s.restartAgent(ctx)
}

// newKey gives the node another private key.
func (s *scene) newKey(ctx context.Context) error {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return err
	}
	public := peerselector.Key(private.PublicKey())
	if err := s.reachable(public); err != nil {
		return err
	}
	s.set("private_key", private.String())
	if err := s.reload(ctx, "key on the device", func() bool {
		return s.wireguard(func(d *wgtypes.Device) bool { return d.PrivateKey == private })
	}); err != nil {
		return err
	}
	_, err = s.until(ctx, "connected with the new key", func(st topology.Status) bool {
		return strings.EqualFold(st.PublicKey, public.String()) && topology.Connected(st)
	})
	return err
}

// deleted has the VXLAN deleted by another program.
func (s *scene) deleted(ctx context.Context) error {
	old := s.Topology.NodeLink(vxDevice)
	if old == nil {
		return fmt.Errorf("no %s", vxDevice)
	}
	if err := s.Delete(ctx, vxDevice); err != nil {
		return err
	}
	return s.look(ctx, "made anew", func() bool {
		return s.vxlan(func(v *netlink.Vxlan) bool { return v.Index != old.Attrs().Index && v.MasterIndex != 0 })
	})
}
