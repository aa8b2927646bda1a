package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

// The gateway for trying: a node with the configuration that it prints comes up, and nothing is left when it ends.
func TestStandaloneGateway(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1}, func(*topology.Topology) string { return "" })
	program, err := filepath.Abs("../../build/gateway")
	s.must(err)
	before, err := s.Services.Netlink().LinkList()
	s.must(err)
	p, err := s.Services.Start(netlab.Command{Path: program,
		Args: []string{"-address", topology.ServicesV4.Addr().String(), "-port", "51999"}})
	s.must(err)
	_, err = p.WaitLine(s.ctx, "Ctrl-C ends it")
	s.must(err)
	said := strings.Join(p.Lines(), "\n")
	_, uci, ok := strings.Cut(said, "/etc/config/wguplink:\n")
	if uci, _, _ = strings.Cut(uci, "A Gluon site"); !ok {
		t.Fatalf("it said %q", said)
	}
	// The node asks the lab's servers for the time.
	o := s.StaticOptions()
	uci = strings.Replace(uci, "option protocol", "list ntp_server '"+
		strings.Join(o["ntp_server"], "'\n\tlist ntp_server '")+
		"'\n\tlist dns '"+topology.ServicesV4.Addr().String()+"'\n\toption protocol", 1)
	s.must(s.agent.Configure(uci))
	s.start()
	st := nodeConnected(s)
	if st.Gateway == nil || !strings.Contains(st.Gateway.Endpoint, ":51999") {
		t.Errorf("status %+v", st)
	}
	for _, line := range []string{"registers (v2)", "the gateway knows", "is connected from"} {
		if _, err := p.WaitLine(s.ctx, line); err != nil {
			t.Errorf("%v; it said:\n%s", err, strings.Join(p.Lines(), "\n"))
		}
	}
	s.must(p.Signal(os.Interrupt))
	if err := p.Wait(s.ctx); err != nil {
		t.Errorf("it ended with %v:\n%s", err, strings.Join(p.Lines(), "\n"))
	}
	after, err := s.Services.Netlink().LinkList()
	s.must(err)
	if was, is := deviceNames(before), deviceNames(after); was != is {
		t.Errorf("devices before: %s; after: %s", was, is)
	}
}

// deviceNames lists devices, in the kernel's order.
func deviceNames(links []netlink.Link) string {
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}
