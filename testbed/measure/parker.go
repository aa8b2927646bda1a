package measure

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/ntpd"
	"wguplink/testbed/parker"
	"wguplink/testbed/topology"
)

var (
	parkerFirst4  = Metric{Name: "start to first IPv4 reply", Unit: "s", Target: 2}
	parkerFirst6  = Metric{Name: "start to first IPv6 reply", Unit: "s", Target: 2}
	parkerStrange = Metric{Name: "requests that are not the original's", AtMost: true}

	parkerForgedLost  = Metric{Name: "pings lost over forged, replayed, truncated answers", AtMost: true}
	parkerForgedStart = Metric{Name: "start beside a server that forges", Unit: "s", Target: 3}
	parkerClock       = Metric{Name: "start in 1970 without NTP to first reply", Unit: "s", Target: 3}
	parkerLimit       = Metric{Name: "TCP upload off the limit of 5000 kbit/s", Unit: "%", Target: 10}
)

// online is a topology whose node has a signed configuration.
func (t *Measurement) online(o topology.ParkerOptions, change options) error {
	if err := t.make(topology.Options{Parker: &o}, change); err != nil {
		return err
	}
	_, err := t.goOnline()
	return err
}

// goOnline starts the agent, with pings of both families from now on, and waits for the first reply of each.
func (t *Measurement) goOnline() (took []time.Duration, err error) {
	if err := t.ping(often); err != nil {
		return nil, err
	}
	at := time.Now()
	if err := t.Agent.Start(); err != nil {
		return nil, err
	}
	for _, p := range t.pings {
		r, err := p.Await(t.ctx, at, nil)
		if err != nil {
			return nil, err
		}
		took = append(took, r.At.Sub(at))
	}
	t.started()
	return took, nil
}

// ping starts pings of both families, in place of those before.
func (t *Measurement) ping(every time.Duration) error {
	for _, p := range t.pings {
		p.Close()
	}
	t.pings = nil
	v4, err := t.Pings(topology.InternetV4, every)
	if err != nil {
		return err
	}
	t.pings = append(t.pings, v4)
	v6, err := t.Pings(topology.InternetV6, every)
	if err != nil {
		return err
	}
	t.pings = append(t.pings, v6)
	return nil
}

// lost counts the pings of both families that were sent since a moment and not answered a second after the last.
func (t *Measurement) lost(since time.Time) (int, error) {
	until := time.Now()
	if err := t.pause(time.Second); err != nil {
		return 0, err
	}
	lost := 0
	for _, p := range t.pings {
		sent, answered := p.Count(since, until)
		if sent == 0 {
			return 0, fmt.Errorf("no pings were sent")
		}
		lost += sent - answered
	}
	return lost, nil
}

// original is the request of the original's script (nodeconfig.sh), of a node without limits.
var original = regexp.MustCompile(`^pubkey=([A-Za-z0-9/]|%2B){43}=&nonce=[0-9a-f]{32}&v6mtu=1500&version=$`)

func parkerFirst(t *Measurement) error {
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{Etcd: true}}, nil); err != nil {
		return err
	}
	took, err := t.goOnline()
	if err != nil {
		return err
	}
	t.seconds(parkerFirst4, took[0])
	t.seconds(parkerFirst6, took[1])
	strange, nonces := 0, map[string]bool{}
	for _, r := range t.requests() {
		if r.Method != "GET" || r.Path != "/config" || !original.MatchString(r.RawQuery) || nonces[r.RawQuery] {
			t.note("%s %s?%s", r.Method, r.Path, r.RawQuery)
			strange++
		}
		nonces[r.RawQuery] = true
	}
	if len(nonces) == 0 {
		return fmt.Errorf("no server was asked")
	}
	t.number(parkerStrange, strange)
	// All concentrators are ready, and the one in use has the routes.
	_, err = t.until("sessions with all concentrators", func(s topology.Status) bool {
		ready := 0
		for _, tun := range s.Network.Tunnels {
			if tun.HandshakeAt > 0 {
				ready++
			}
		}
		return ready == 3 && s.Network.Exit != "" && s.Network.ID == "1"
	})
	return err
}

// requests are those of all configuration servers.
func (t *Measurement) requests() (all []parker.Request) {
	for _, s := range t.Parker.Servers {
		all = append(all, s.Requests()...)
	}
	return all
}

// until waits for a status that is as wanted and has a network.
func (t *Measurement) until(what string, ok func(topology.Status) bool) (topology.Status, error) {
	return t.Agent.Await(t.ctx, what, func(s topology.Status) bool { return s.Network != nil && ok(s) })
}

// asked waits until the configuration servers have had so many requests.
func (t *Measurement) asked(n int) error {
	for len(t.requests()) < n {
		if err := t.pause(often); err != nil {
			return fmt.Errorf("%d requests, not %d: %w", len(t.requests()), n, err)
		}
	}
	return nil
}

// refetch has the agent ask for its configuration now, as an operator would, and waits for the outcome.
func (t *Measurement) refetch(line string) error {
	seen := len(t.Agent.Lines())
	if err := t.Agent.Signal(hangup); err != nil {
		return err
	}
	_, err := t.Agent.WaitLineFrom(t.ctx, seen, line)
	return err
}

// parkerForged spoils the answers of all servers in turn, under a connected node.
func parkerForged(t *Measurement) error {
	if err := t.online(topology.ParkerOptions{}, nil); err != nil {
		return err
	}
	if err := t.pause(time.Second); err != nil {
		return err
	}
	since := time.Now()
	before, err := t.switches()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		fault httpfault.Fault
		says  string
	}{
		{parker.Forged(), "forged"}, {parker.Replayed(), "nonce"}, {httpfault.Truncated(), "cut off|not signed"},
		{parker.WrongNumber(), "config_pubkey"}, {parker.Huge(70000), "more than"}, {parker.Garbage(), "not signed"},
	} {
		for _, s := range t.Parker.Servers {
			s.SetFault(f.fault)
		}
		asked := len(t.requests())
		if err := t.Agent.Signal(hangup); err != nil {
			return err
		}
		if err := t.asked(asked + 2); err != nil {
			return err
		}
		s, err := t.until("a word about "+f.fault.String(), func(s topology.Status) bool {
			return regexp.MustCompile(f.says).MatchString(s.Broker)
		})
		if err != nil {
			return err
		}
		if s.State != "connected" || s.Switches != before {
			return fmt.Errorf("after a %s: %+v", f.fault, s)
		}
	}
	lost, err := t.lost(since)
	t.number(parkerForgedLost, lost)
	return err
}

// parkerForgedFirst has one of two servers forge: which one is asked first is chance.
func parkerForgedFirst(t *Measurement) error {
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{}}, nil); err != nil {
		return err
	}
	t.Parker.Servers[t.Run%2].SetFault(parker.Forged())
	took, err := t.goOnline()
	if err != nil {
		return err
	}
	t.seconds(parkerForgedStart, max(took[0], took[1]))
	return nil
}

func parkerClock1970(t *Measurement) error {
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{}}, options{"ntp_grace": {"30"}}); err != nil {
		return err
	}
	t.Clock().Set(time.Unix(100, 0))
	t.Clock().SetSynchronised(false)
	for _, s := range t.NTP {
		s.SetLie(ntpd.Dead())
	}
	took, err := t.goOnline()
	if err != nil {
		return err
	}
	t.seconds(parkerClock, max(took[0], took[1]))
	if off := time.Since(t.Clock().Now()).Abs(); off > time.Minute {
		return fmt.Errorf("the node's clock is off by %v", off)
	}
	s, err := t.Agent.Status(t.ctx)
	if err == nil && !strings.Contains(s.Clock, "signed configuration") {
		err = fmt.Errorf("clock: %q", s.Clock)
	}
	return err
}

// parkerLimited measures an upload. The first quarter does not count; see flow.Flow.
func parkerLimited(t *Measurement) error {
	const limit = 5000 // kbit/s
	if err := t.online(topology.ParkerOptions{}, options{"limit_egress": {fmt.Sprint(limit)},
		"limit_ingress": {"20000"}}); err != nil {
		return err
	}
	for _, r := range t.requests() {
		if !strings.HasSuffix(r.RawQuery, "&tc_ingress=20000&tc_egress=5000") {
			return fmt.Errorf("the server was not told the limits: %s", r.RawQuery)
		}
	}
	for _, p := range t.pings { // the flow is to be alone
		p.Close()
	}
	t.pings = nil
	worst := 0.0
	for _, to := range []string{"IPv4", "IPv6"} {
		addr := topology.InternetV4
		if to == "IPv6" {
			addr = topology.InternetV6
		}
		f, err := t.FlowUp(t.ctx, addr, 6<<20)
		if err != nil {
			return err
		}
		// The limit counts packets with their headers: IP and TCP with time stamps, in packets of the network's MTU of
		// 1375.
		headers := 52.0
		if to == "IPv6" {
			headers = 72
		}
		rate := f.Rate * 1375 / (1375 - headers)
		t.note("%s: %.0f kbit/s with headers, payload %.0f, by %s", to, rate, f.Rate, f.Sink)
		worst = max(worst, math.Abs(rate-limit)/limit*100)
	}
	t.values[parkerLimit.Name] = worst
	return nil
}
