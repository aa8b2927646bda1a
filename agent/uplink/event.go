package uplink

import (
	"net/netip"
	"time"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/peers"
	"wguplink/agent/registration"
	"wguplink/agent/wan"
)

// event is what the loop is told.
type event interface{}

// From outside.
type (
	reload    struct{ cfg config.Uplink }
	refresh   struct{} // something that is not the uplink's own has changed in its status
	reconnect struct {
		gateway string
		done    chan<- result
		gone    <-chan struct{} // closed when nothing waits for done any more
	}
)

// Reply is the answer to a probe.
type Reply struct {
	From netip.Addr
	RTT  time.Duration
}

// Of jobs.
type (
	wanState     struct{ wan.State }
	linksChanged struct{}
	failed       struct{ err error } // what watches cannot go on: the process has to start anew
	clocked      struct{ clock.Answer }
	registered   struct{ registration.Answer }
	resolved     struct {
		lookup peers.Lookup
		addrs  []netip.AddrPort
		err    error
	}
	measured struct {
		largest int
		err     error
	}
)
