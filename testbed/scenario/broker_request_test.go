package scenario

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

// Without a scheme the broker is spoken to by HTTPS, and never by HTTP, however willing it is.
func TestBrokerPlainHTTP(t *testing.T) {
	t.Parallel()
	s := brokerScene(t, topology.Options{}, brokerOptions{"broker": {"plain.example.org"}})
	other, err := wgkex.NewCA(time.Now())
	s.must(err)
	cert, err := other.Server(time.Now(), "plain.example.org")
	s.must(err)
	s.must(s.ServeBroker(cert, "plain.example.org"))
	s.start()
	brokerTrouble(s, "broker_unreachable", "https://plain.example.org", "unknown authority")
	s.must(s.agent.TakeDown(s.ctx))
	if n := len(s.Broker.Requests()); n != 0 {
		t.Errorf("%d requests came through", n)
	}
	s.must(s.agent.Configure(brokerConfig(s.Topology, brokerOptions{"broker": {"http://plain.example.org"}})))
	l2 := s.frames()
	if st := brokerConnected(s, l2, s.start()); st.Broker != "http://plain.example.org (v2)" {
		t.Errorf("status names the broker %q", st.Broker)
	}
}

// A certificate that does not fit keeps everything back; the status says what is wrong with it.
func TestBrokerBadCertificate(t *testing.T) {
	t.Parallel()
	s := brokerScene(t, topology.Options{}, nil)
	now := time.Now()
	stranger, err := wgkex.NewCA(now)
	s.must(err)
	s.must(stranger.WriteFile(filepath.Join(s.agent.Dir, "stranger.pem")))
	pins := map[string]string{}
	serve := func(name string, issue func(time.Time, ...string) (wgkex.Certificate, error), names ...string) {
		t.Helper()
		cert, err := issue(now, names...)
		s.must(err)
		s.must(s.ServeBroker(cert, name))
		pins[name] = hex.EncodeToString(cert.Pin[:])
	}
	serve("stranger.example.org", stranger.Server, "stranger.example.org")
	serve("expired.example.org", s.CA.Expired, "expired.example.org")
	serve("misnamed.example.org", s.CA.Server, "other.example.org")
	serve("good.example.org", s.CA.Server, "good.example.org")

	for _, c := range []struct {
		broker  string
		change  brokerOptions
		reasons []string
	}{
		{"stranger.example.org", nil, []string{"unknown authority", "ca.pem"}},
		{"stranger.example.org", brokerOptions{"broker_pin": {pins["stranger.example.org"]}},
			[]string{"unknown authority"}},
		{"expired.example.org", nil, []string{"expired", "clock"}},
		{"misnamed.example.org", nil, []string{"not misnamed.example.org"}},
		{"good.example.org", brokerOptions{"broker_pin": {pins["misnamed.example.org"]}},
			[]string{"pins matches", pins["good.example.org"]}},
		{"good.example.org", brokerOptions{"broker_ca": {"/etc/config/missing.pem"}},
			[]string{"/etc/config/missing.pem", "no such file"}},
		{"good.example.org", brokerOptions{"broker_ca": {"none"}, "broker_pin": {pins["misnamed.example.org"]}},
			[]string{"pins matches"}},
	} {
		o := brokerOptions{"broker": {"https://" + c.broker}}
		for k, v := range c.change {
			o[k] = v
		}
		s.must(s.agent.Configure(brokerConfig(s.Topology, o)))
		s.start()
		brokerTrouble(s, "broker_unreachable", append(c.reasons, c.broker)...)
		s.must(s.agent.TakeDown(s.ctx))
		if n := len(s.Broker.Requests()); n != 0 {
			t.Fatalf("%s, %v: %d requests came through", c.broker, c.change, n)
		}
	}

	l2 := s.frames()
	for _, o := range []brokerOptions{
		{"broker": {"https://good.example.org"}, "broker_pin": {pins["misnamed.example.org"],
			pins["good.example.org"]}},
		{"broker": {"https://stranger.example.org"}, "broker_ca": {"none"},
			"broker_pin": {pins["stranger.example.org"]}},
	} {
		s.must(s.agent.Configure(brokerConfig(s.Topology, o)))
		brokerConnected(s, l2, s.start())
		s.must(s.agent.TakeDown(s.ctx))
	}

	// The authority's file is put right while the agent runs.
	s.must(s.agent.Configure(brokerConfig(s.Topology, brokerOptions{"broker": {"https://good.example.org"},
		"broker_ca": {"/etc/config/stranger.pem"}})))
	s.start()
	brokerTrouble(s, "broker_unreachable", "unknown authority", "stranger.pem")
	mended := time.Now()
	s.must(s.CA.WriteFile(filepath.Join(s.agent.Dir, "stranger.pem")))
	brokerConnected(s, l2, mended)
}

// The wish for a location reaches the broker, and the node goes to the gateway that it names for it.
func TestBrokerLocation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ location, gateway string }{{"CITY-gw2", "gw2"}, {"CITY-gw3", "gw3"}, {"Moon", ""}} {
		t.Run(c.location, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{Locations: true, WorkerPoll: 50 * time.Millisecond},
				func(topo *topology.Topology) string {
					return brokerConfig(topo, brokerOptions{"location": {c.location}}, topo.Sections())
				})
			l2 := s.frames()
			began := s.start()
			gw := s.reply(l2, began).Gateway
			if c.gateway != "" && gw != c.gateway {
				t.Errorf("connected to %s, want %s", gw, c.gateway)
			}
			q := brokerFirst(s)
			var body map[string]string
			if err := json.Unmarshal(q.Body, &body); err != nil || body["location"] != c.location ||
				body["domain"] != topology.Domain {
				t.Errorf("the request says %s, %v", q.Body, err)
			}
		})
	}
}

// brokerFirst is the first registration by v2.
func brokerFirst(s *scene) wgkex.Request {
	s.t.Helper()
	for _, q := range s.Broker.Requests() {
		if q.API == wgkex.V2 {
			return q
		}
	}
	s.t.Fatal("no request by v2")
	return wgkex.Request{}
}

// The broker's operator learns what the node is, and nothing is sent that is not known.
func TestBrokerHeaders(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, brokerOnly)
	s.must(s.Node.WriteFile("/tmp/sysinfo/board_name", "tplink,archer-c7-v2\n"))
	s.must(s.Node.WriteFile("/etc/openwrt_release",
		"DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='23.05.5'\nDISTRIB_TARGET='ath79/generic'\n"))
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	s.must(err)
	kernel := strings.TrimSpace(string(b))
	l2 := s.frames()
	s.reply(l2, s.start())
	q := brokerFirst(s)
	for name, want := range map[string]string{
		"User-Agent":         "(tplink,archer-c7-v2) OpenWrt/23.05.5 (kernel/" + kernel + "; ath79/generic)",
		"X-Board-Name":       "tplink,archer-c7-v2",
		"X-Openwrt-Version":  "23.05.5",
		"X-Kernel-Version":   kernel,
		"X-Target-Name":      "ath79/generic",
		"X-Gluon-Version":    "", // the lab's nodes have the machine's /lib, which is not Gluon's
		"X-Firmware-Version": "",
		"Content-Type":       "application/json",
	} {
		if got := q.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if q.Method != http.MethodPost || q.Path != wgkex.PathV2 || q.Host != topology.BrokerName {
		t.Errorf("the request was %s %s at %s", q.Method, q.Path, q.Host)
	}
}

// A broker that asks to be left alone for two seconds is, by v1 as well; then the node registers.
func TestBrokerRetryAfter(t *testing.T) {
	t.Parallel()
	const port = 8080
	s := brokerScene(t, topology.Options{}, brokerOptions{"broker": {"http://" + topology.BrokerName + ":8080"}})
	var mu sync.Mutex
	var asked []time.Time
	busy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, time.Now())
		n := len(asked)
		mu.Unlock()
		if n == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.Broker.ServeHTTP(w, r)
	})
	var servers sync.WaitGroup
	ctx, cancel := context.WithCancel(s.ctx)
	for _, a := range []netip.Addr{topology.ServicesV4.Addr(), topology.ServicesV6.Addr()} {
		ln, err := s.Services.Listen(s.ctx, "tcp", netip.AddrPortFrom(a, port).String())
		s.must(err)
		servers.Add(1)
		go func() {
			defer servers.Done()
			if err := wgkex.Serve(ctx, ln, busy, nil, nil); err != nil {
				t.Error(err)
			}
		}()
	}
	t.Cleanup(func() {
		cancel()
		servers.Wait()
	})
	l2 := s.frames()
	began := s.start()
	brokerTrouble(s, "broker_unreachable", "status 503")
	brokerConnected(s, l2, began)
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 2 {
		t.Fatalf("%d requests, want one that is refused and one that is not", len(asked))
	}
	if gap := asked[1].Sub(asked[0]); gap < 2*time.Second {
		t.Errorf("the second request came %v after the first, in spite of Retry-After: 2", gap)
	}
}
