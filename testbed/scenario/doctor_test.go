package scenario

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
	"wguplink/testbed/ntpd"
	"wguplink/testbed/wgkex"
	"wguplink/testbed/world"
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
	s := newScene(t, world.Options{}, withBroker)
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
	n := newNode(t, world.Options{Gateways: 2}, nil)

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

	back, err := n.Router.Drop(netlab.Drop{To: world.NodeV4.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820},
		netlab.Drop{To: world.NodeV6.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820})
	n.must(err)
	n.doctored("UDP blocked", 17, "handshake", "UDP to", ":51820", "gets no answer")
	n.must(back())
	if findings, code := n.doctor(); code != 0 {
		t.Errorf("all well again: exit code %d: %v", code, findings)
	}
}

// The broker's word is passed on; the gateways are tried all the same. Where HTTPS works and UDP does not, that is said.
func TestDoctorBroker(t *testing.T) {
	t.Parallel()
	s := newScene(t, world.Options{}, withBroker)
	s.reply(s.frames(), s.start())
	nodeConnected(s)
	nodeStop(s)
	s.Broker.SetFaults(wgkex.Status(400))
	if findings := s.doctored("the broker says no", 15, "broker", "400"); !strings.Contains(findings["handshake"], "pass") {
		t.Errorf("gateways that know the node are not tried: %v", findings)
	}
	s.Broker.SetFaults(wgkex.Fault{})
	back, err := s.Router.Drop(netlab.Drop{To: world.NodeV4.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820},
		netlab.Drop{To: world.NodeV6.Masked(), Proto: unix.IPPROTO_UDP, FromPort: 51820})
	s.must(err)
	s.doctored("UDP blocked", 17, "handshake", "while HTTPS to the broker works")
	s.must(back())
}

// A path that is too narrow for the MTU.
func TestDoctorMTU(t *testing.T) {
	t.Parallel()
	n := newNode(t, world.Options{Line: true, Gateways: 1}, map[string][]string{"mtu": {"1412"}})
	n.Line.Set(narrow, narrow)
	n.doctored("a narrow path", 19, "mtu", "MTU too big", "option mtu '13")
}
