package scenario

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/netlab"
	"wguplink/testbed/ntpd"
	"wguplink/testbed/topology"
)

// doctor runs `wguplink doctor` and gives its findings by stage, each with its remedy.
func (s *scene) doctor() (findings map[string]string, code int) {
	s.t.Helper()
	out, code, err := s.agent.Run(s.ctx, "doctor")
	s.must(err)
	findings = map[string]string{}
	stage := ""
	for _, l := range strings.Split(out, "\n") {
		if l != "" && l[0] != ' ' {
			stage, _, _ = strings.Cut(l, " ")
		}
		findings[stage] += l + "\n"
	}
	return findings, code
}

// doctored checks the exit code, and that the stage fails with these words; others are in the findings for more.
func (s *scene) doctored(what string, code int, stage string, words ...string) map[string]string {
	s.t.Helper()
	findings, got := s.doctor()
	if got != code || !strings.Contains(findings[stage], "FAIL") || !strings.Contains(findings[stage], "-> ") {
		s.t.Errorf("%s: exit code %d, want %d: %v", what, got, code, findings)
	}
	for _, w := range words {
		if !strings.Contains(findings[stage], w) {
			s.t.Errorf("%s: no %q in %q", what, w, findings[stage])
		}
	}
	return findings
}

// Without an agent the doctor goes through all stages, and leaves nothing behind; beside one it disturbs nothing.
func TestDoctorAllWell(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	// The key is the agent's to make.
	if findings, code := s.doctor(); code != 13 || !strings.Contains(findings["key"], "FAIL") {
		t.Errorf("no key yet: exit code %d: %v", code, findings)
	}
	l2 := s.frames()
	s.reply(l2, s.start())
	nodeConnected(s)
	since := time.Now()
	for range 2 {
		if findings, code := s.doctor(); code != 0 || len(findings) != 10 {
			t.Errorf("beside an agent: exit code %d: %v", code, findings)
		}
	}
	nodeLossless(s, l2, since)
	if st := nodeConnected(s); st.Switches != 1 {
		t.Errorf("status %+v", st)
	}
	nodeStop(s)
	if findings, code := s.doctor(); code != 0 || len(findings) != 10 {
		t.Errorf("without an agent: exit code %d: %v", code, findings)
	}
	links, err := s.Node.Netlink().LinkList()
	s.must(err)
	for _, l := range links {
		if name := l.Attrs().Name; name != "lo" && name != "wan" && l.Type() != "sit" {
			t.Errorf("the doctor leaves %s", name)
		}
	}
}

// Each stage fails with its own code, one cause and one remedy.
func TestDoctorCauses(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 2}, nil)

	n.set("mtu", "12")
	n.doctored("nonsense in the configuration", 10, "config", "mtu", "12")
	n.set("mtu", "auto")

	n.must(n.RouteDown())
	n.doctored("no default route", 11, "wan", "table")
	n.must(n.RouteUp())

	for _, ntp := range n.NTP {
		ntp.SetLie(ntpd.Dead())
	}
	n.Clock().SetSynchronised(false)
	n.Clock().Set(time.Unix(100, 0))
	n.doctored("1970, and no NTP", 12, "clock")
	for _, ntp := range n.NTP {
		ntp.SetLie(ntpd.Honest())
	}
	n.doctored("1970", 12, "clock", "off")
	n.Clock().Set(time.Now())
	n.Clock().SetSynchronised(true)

	for _, g := range n.Gateways {
		n.DNS.Delete(g.DNS)
	}
	n.doctored("no names", 14, "names", n.Gateways[0].DNS)
	for _, g := range n.Gateways {
		n.DNS.Set(g.DNS, g.V4, g.V6)
	}

	n.set("link_local", "key")
	n.doctored("the wrong derivation", 18, "tunnel", "option link_local 'key_newline'")
	n.set("link_local", "key_newline")

	back, err := n.Router.Drop(netlab.Drop{To: topology.NodeV4.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820},
		netlab.Drop{To: topology.NodeV6.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820})
	n.must(err)
	n.doctored("UDP blocked", 17, "handshake", "UDP to", ":51820", "gets no answer")
	n.must(back())
	if findings, code := n.doctor(); code != 0 {
		t.Errorf("all well again: exit code %d: %v", code, findings)
	}
}

// The broker's word is passed on; the gateways are tried all the same. Where HTTPS works and UDP does not, that is
// said.
func TestDoctorBroker(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	s.reply(s.frames(), s.start())
	nodeConnected(s)
	nodeStop(s)
	s.Broker.SetFaults(httpfault.Status(400))
	if findings := s.doctored("the broker says no", 15, "broker", "400"); !strings.Contains(findings["handshake"],
		"pass") {
		t.Errorf("gateways that know the node are not tried: %v", findings)
	}
	s.Broker.SetFaults(httpfault.Fault{})
	back, err := s.Router.Drop(netlab.Drop{To: topology.NodeV4.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820},
		netlab.Drop{To: topology.NodeV6.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820})
	s.must(err)
	s.doctored("UDP blocked", 17, "handshake", "while HTTPS to the broker works")
	s.must(back())
}

// A path that is too narrow for the MTU.
func TestDoctorMTU(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Line: true, Gateways: 1}, map[string][]string{"mtu": {"1412"}})
	n.Line.Set(narrow, narrow)
	n.doctored("a narrow path", 19, "mtu", "MTU too big", "option mtu '13")
}

// Another program has the VXLAN port: the agent names it, the doctor says how to find who has it, and the agent goes on
// once it is free.
func TestDoctorPortTaken(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	socket, err := n.Node.ListenPacket(n.ctx, "udp", "[::]:8472") // both families
	n.must(err)
	t.Cleanup(func() { socket.Close() })
	n.doctored("the port is taken, without an agent", 16, "device", "UDP port 8472", "netstat -lunp")
	l2 := n.frames()
	n.start()
	nodeAwait(n.scene, "in want of the port", func(st topology.Status) bool {
		return st.Cause == "device" && st.Fault == "port_taken" &&
			strings.Contains(st.Reason, "UDP port 8472 of mesh-vpn")
	})
	n.doctored("the port is taken, beside an agent", 16, "device", "the agent says", "UDP port 8472", "netstat -lunp")
	n.must(socket.Close())
	n.reply(l2, time.Now())
	nodeConnected(n.scene)
	if findings, code := n.doctor(); code != 0 {
		t.Errorf("the port is free: exit code %d: %v", code, findings)
	}
}

// All gateways forget the key while the agent runs: that is no fault of the inside of the tunnel, however young the
// last handshake.
func TestDoctorKeysLost(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 2}, nil)
	n.reply(n.frames(), n.start())
	key := nodeConnected(n.scene).PublicKey
	n.must(n.Forget())
	nodeAwait(n.scene, "silent", func(st topology.Status) bool { return st.State == "suspect" })
	n.doctored("keys lost", 17, "handshake", "gets no answer", "ask the operators whether the gateways know "+key)
}

// Time servers that do not answer are no failure while the tunnel works, whichever program made it.
func TestDoctorNoTimeServerAnswers(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"ntp_grace": {"0.3"}})
	nodeLie(n.scene, ntpd.Dead())
	n.Clock().SetSynchronised(false)
	warned := func(what string) {
		t.Helper()
		findings, code := n.doctor()
		if code != 0 || !strings.Contains(findings["clock"], "warn") ||
			!strings.Contains(findings["clock"], "no time source confirms the clock") {
			t.Errorf("%s: exit code %d: %v", what, code, findings)
		}
	}
	warned("without an agent")
	n.reply(n.frames(), n.start())
	nodeConnected(n.scene)
	warned("beside an agent")
	nodeStop(n.scene)
	n.must(n.Forget())
	findings := n.doctored("the key is unknown, too", 17, "handshake", "if the clock is wrong",
		"ask the operators whether the gateways know")
	if !strings.Contains(findings["clock"], "warn") {
		t.Errorf("%v", findings)
	}
}

// Layer 3 as the documentation has it: without the agent the node's address inside the tunnel is not there, and nothing
// is said of link addresses.
func TestDoctorLayer3(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	n.options = map[string][]string{
		"protocol": {"static"}, "mode": {"layer3"}, "private_key": n.options["private_key"],
		"ntp_server": n.options["ntp_server"],
		"dns":        n.options["dns"], "fwmark": {"1"},
	}
	g := n.Gateways[0]
	n.gateways = strings.ReplaceAll(n.gateways, g.Link.String(), "10.99.0.1") + "\tlist allowed_ips '10.0.0.0/8'\n"
	n.write()
	findings, code := n.doctor()
	if code != 0 || !strings.Contains(findings["handshake"], "pass") || !strings.Contains(findings["tunnel"], "skip") ||
		strings.Contains(findings["tunnel"], "link_local") {
		t.Errorf("exit code %d: %v", code, findings)
	}
}
