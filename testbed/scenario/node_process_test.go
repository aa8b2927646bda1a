package scenario

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/testbed/topology"
)

// An agent that is killed and started again goes on with what it finds: not a frame is lost.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	l2 := s.frames()
	s.reply(l2, s.start())
	before, asked := nodeConnected(s), s.Broker.Counts()
	devices := [2]int{nodeIndex(s, "wg_mesh"), nodeIndex(s, "mesh-vpn")}
	killed := time.Now()
	s.must(s.agent.Kill(s.ctx))
	s.reply(l2, time.Now())
	s.start()
	s.line("going on with the gateway in use")
	s.line("msg=connected")
	nodeLossless(s, l2, killed)
	after := s.status()
	if after.State != "connected" || after.Gateway.Endpoint != before.Gateway.Endpoint || after.Switches != 0 {
		t.Errorf("before %+v at %+v, after %+v at %+v", before, before.Gateway, after, after.Gateway)
	}
	if now := s.Broker.Counts(); now.V1 != asked.V1 || now.V2 != asked.V2 {
		t.Errorf("registered again: %+v, then %+v", asked, now)
	}
	if now := [2]int{nodeIndex(s, "wg_mesh"), nodeIndex(s, "mesh-vpn")}; now != devices {
		t.Errorf("devices %v, then %v", devices, now)
	}
	nodeStop(s)
	if nodeIndex(s, "wg_mesh") != 0 || nodeIndex(s, "mesh-vpn") != 0 {
		t.Error("what the first agent made is left over by the second")
	}
}

// The jail's own process is killed, for want of memory say. The agent ends with it, its userspace WireGuard does not,
// and the next goes on with the tunnel.
func TestJailKilled(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	s.agent.Jailer()
	l2 := s.frames()
	s.reply(l2, s.start())
	before, wireguard := nodeConnected(s), nodeWireGuard(s)
	var agent int
	procs, err := s.Node.Processes()
	s.must(err)
	for _, p := range procs {
		if len(p.Args) > 1 && p.Args[1] == "run" {
			agent = p.PID
		}
	}
	if agent == 0 || agent == s.agent.PID() {
		t.Fatalf("no agent below the jail: %+v", procs)
	}
	killed := time.Now()
	s.must(s.agent.Kill(s.ctx))
	s.must(nodeEnded(s.ctx, agent))
	s.reply(l2, time.Now())
	s.start()
	s.line("going on with the gateway in use")
	s.line("msg=connected")
	nodeLossless(s, l2, killed)
	if after := s.status(); after.State != "connected" || after.Gateway.Endpoint != before.Gateway.Endpoint ||
		after.Switches != 0 {
		t.Errorf("before %+v at %+v, after %+v at %+v", before, before.Gateway, after, after.Gateway)
	}
	if now := nodeWireGuard(s); !slices.Equal(now, wireguard) {
		t.Errorf("userspace WireGuard %v, then %v", wireguard, now)
	}
}

// One that is stopped by SIGTERM, as for a restart or an upgrade, leaves all in place as well, with either backend.
func TestAgentRestarted(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1}, withBroker)
	l2 := s.frames()
	s.reply(l2, s.start())
	devices := [2]int{nodeIndex(s, "wg_mesh"), nodeIndex(s, "mesh-vpn")}
	stopped := time.Now()
	s.must(s.agent.Stop(s.ctx))
	if code := s.agent.State().ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.reply(l2, time.Now())
	s.start()
	s.line("going on with the gateway in use")
	s.line("msg=connected")
	nodeLossless(s, l2, stopped)
	if now := [2]int{nodeIndex(s, "wg_mesh"), nodeIndex(s, "mesh-vpn")}; now != devices || now[0] == 0 || now[1] == 0 {
		t.Errorf("devices %v, then %v", devices, now)
	}
	if out, code, err := s.agent.Run(s.ctx, "down"); err != nil || code != 3 ||
		!strings.Contains(out, "another wguplink runs this uplink") {
		t.Errorf("down beside a running agent: exit code %d, %v: %s", code, err, out)
	}
	nodeStop(s)
	if nodeIndex(s, "wg_mesh") != 0 || nodeIndex(s, "mesh-vpn") != 0 {
		t.Error("devices are left after a real stop")
	}
	for _, pid := range nodeWireGuard(s) {
		if err := nodeEnded(s.ctx, pid); err != nil {
			t.Errorf("WireGuard: %v", err)
		}
	}
}

// A second agent ends at once and disturbs nothing.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1}, withBroker)
	l2 := s.frames()
	s.reply(l2, s.start())
	before := nodeConnected(s)
	since := time.Now()
	out, code, err := s.agent.Run(s.ctx, "run")
	s.must(err)
	if code != 3 || !strings.Contains(out, "another wguplink runs this uplink") {
		t.Errorf("exit code %d: %s", code, out)
	}
	nodeLossless(s, l2, since)
	if after := s.status(); after.State != "connected" || after.Gateway.Name != before.Gateway.Name ||
		after.Gateway.Endpoint != before.Gateway.Endpoint || after.Switches != before.Switches {
		t.Errorf("before %+v at %+v, after %+v at %+v", before, before.Gateway, after, after.Gateway)
	}
	if s.agent.State() != nil || s.Broker.Counts().V2 != 1 {
		t.Errorf("the first agent: %v; %d registrations", s.agent.State(), s.Broker.Counts().V2)
	}
}

// termTime is how long procd waits for the agent's end before it kills it (term_timeout in
// feed/wguplink/files/wguplink.init).
const termTime = 15 * time.Second

// A real stop, SIGTERM and then the command down, takes everything away before procd loses patience, in any state of
// the agent.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"backend": {"userspace"}})
	l2 := n.frames()
	for what, ready := range map[string]func(time.Time){
		"starting": func(time.Time) { n.line("wguplink starts") },
		"with a device": func(time.Time) {
			nodeAwaitKernel(n.scene, "with a device", func() bool { return nodeIndex(n.scene, "wg_mesh") != 0 })
		},
		"connected": func(began time.Time) { n.reply(l2, began) },
	} {
		ready(n.start())
		ctx, cancel := context.WithTimeoutCause(n.ctx, termTime, errors.New("procd would have killed it"))
		if err := n.agent.TakeDown(ctx); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, pid := range nodeWireGuard(n.scene) {
			if err := nodeEnded(ctx, pid); err != nil {
				t.Errorf("%s: WireGuard: %v", what, err)
			}
		}
		cancel()
		if code := n.agent.State().ExitCode(); code != 0 {
			t.Errorf("%s: exit code %d", what, code)
		}
		links, err := n.Node.Netlink().LinkList()
		n.must(err)
		for _, l := range links {
			if name := l.Attrs().Name; name == "wg_mesh" || name == "mesh-vpn" {
				t.Errorf("%s: %s is left", what, name)
			}
		}
		procs, err := n.Node.Processes()
		n.must(err)
		if len(procs) != 0 {
			t.Errorf("%s: processes left: %+v", what, procs)
		}
		for _, file := range []string{"/var/run/wguplink/mesh.json", "/var/run/wireguard/wg_mesh.sock"} {
			if _, err := n.Node.ReadFile(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %s is left (%v)", what, file, err)
			}
		}
	}
}

// The agent starts its own WireGuard process once, and no other program, not even when its gateway dies.
func TestNoPrograms(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		o := topo.BrokerOptions()
		o["backend"] = []string{"userspace"}
		return topology.UCI(o, topo.Sections())
	})
	nodeBoots(s, nodeLongAgo)
	l2 := s.frames()
	first := s.reply(l2, s.start())
	killed := time.Now()
	s.must(s.Named(first.Gateway).Kill())
	_, err := l2.Await(s.ctx, killed, topology.NotFrom(first.Gateway))
	s.must(err)
	execs := s.Clock().Execs()
	if len(execs) != 1 || strings.Join(execs[0].Args, " ") != "wguplink wireguard-go wg_mesh" {
		t.Errorf("programs started: %+v", execs)
	}
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1}, withBroker)
	run := func(want int, args ...string) string {
		t.Helper()
		out, code, err := s.agent.Run(s.ctx, args...)
		s.must(err)
		if code != want {
			t.Errorf("wguplink %s: exit code %d, want %d: %s", strings.Join(args, " "), code, want, out)
		}
		return out
	}
	stopped := func() {
		t.Helper()
		if out := run(4, "status"); !strings.HasPrefix(out, "mesh: stopped\n") ||
			!strings.Contains(out, "no agent runs") {
			t.Errorf("status: %s", out)
		}
		if out := run(4, "status", "--json"); !strings.Contains(out, `"state": "stopped"`) {
			t.Errorf("status: %s", out)
		}
	}
	stopped()
	l2 := s.frames()
	s.reply(l2, s.start())
	st := nodeConnected(s)
	out := run(0, "status")
	for _, want := range []string{
		"mesh: connected for ", st.Gateway.Name + ": " + st.Gateway.Endpoint, "wg_mesh (" + st.Backend + "), MTU 1420",
		"mesh-vpn, MTU 1350",
		"IPv6 by wan, IPv4 by wan", "synchronised", "https://" + topology.BrokerName, st.PublicKey,
		"iB received, ", " sent", "* " + st.Gateway.Name, "  answered ", "  last changes\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("status has no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, " 0 B received") {
		t.Errorf("status has no traffic:\n%s", out)
	}
	if again := run(0, "status", "mesh"); !strings.HasPrefix(again, "mesh: connected for ") {
		t.Errorf("status of one uplink:\n%s", again)
	}
	run(1, "status", "another")
	run(2, "status", "--no-such-option")
	nodeStop(s)
	stopped()
	// A killed agent leaves its status file.
	s.reply(l2, s.start())
	nodeConnected(s)
	s.must(s.agent.Kill(s.ctx))
	stopped()
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	check := func(want int) string {
		t.Helper()
		out, code, err := n.agent.Run(n.ctx, "config", "check")
		n.must(err)
		if code != want {
			t.Errorf("exit code %d, want %d: %s", code, want, out)
		}
		return out
	}
	if out := check(0); out != "/etc/config/wguplink: 1 uplink, no problem" {
		t.Errorf("good configuration: %s", out)
	}
	n.options["mtu"] = []string{"big"}
	n.options["keepalive"] = []string{"0"}
	n.more = "config gateway 'gwx'\n\toption uplink 'missing'\n\toption public_key 'short'\n\tlist endpoint " +
		"'x'\n\toption link_address 'fe80::1'\n"
	n.write()
	out := check(1)
	for _, want := range [][]string{
		{`section "mesh", option "mtu", value "big"`, "allowed: auto, or 1280 to 65535"},
		{`section "mesh", option "keepalive", value "0"`, "allowed: whole seconds from 1 to 65535"},
		{`section "gwx", option "public_key", value "short"`, "allowed: a WireGuard key"},
		{`section "gwx", option "endpoint", value "x"`, "allowed: host:port"},
		{`section "gwx", option "uplink", value "missing"`, "allowed: "},
	} {
		found := false
		for _, l := range strings.Split(out, "\n") {
			found = found || strings.HasPrefix(l, "/etc/config/wguplink: "+want[0]) && strings.Contains(l, want[1])
		}
		if !found {
			t.Errorf("no line with %q:\n%s", want, out)
		}
	}
	if lines := strings.Count(out, "\n") + 1; lines != 5 {
		t.Errorf("%d lines for 5 problems:\n%s", lines, out)
	}
	// The agent runs with what it can, and says each of them.
	l2 := n.frames()
	began := n.start()
	for _, want := range []string{`\"mtu\"`, `\"keepalive\"`, `\"gwx\"`} {
		n.line(want)
	}
	n.reply(l2, began)
	nodeConnected(n.scene)
	if out, code, err := n.agent.Run(n.ctx, "status"); err != nil || code != 0 ||
		!strings.Contains(out, "config check") {
		t.Errorf("status: exit code %d, %v: %s", code, err, out)
	}
	nodeStop(n.scene)
	delete(n.options, "mtu")
	delete(n.options, "keepalive")
	n.more = ""
	n.set("private_key", "c2VjcmV0IG1hdGVyaWFs")
	if out := check(1); !strings.Contains(out, "wguplink.mesh.private_key") || strings.Contains(out, "c2VjcmV0") {
		t.Errorf("malformed key: %s", out)
	}
	n.must(n.agent.Configure("config uplink 'mesh'\n\toption 'unfinished\n"))
	if out := check(1); !strings.Contains(out, "/etc/config/wguplink") || !strings.Contains(out, "line 2") {
		t.Errorf("broken file: %s", out)
	}
}
