package wan

import (
	"net/netip"
	"testing"

	"wguplink/agent/testns"
)

// another has this program be another one, if it was started as such; nil where the tests that need it are left out.
var another func()

func TestMain(m *testing.M) {
	if another != nil {
		another()
	}
	resolvConf = nil // of the machine that runs the tests
	testns.Main(m)
}

func to(s ...string) (all []netip.AddrPort) {
	for _, a := range s {
		all = append(all, netip.MustParseAddrPort(a))
	}
	return all
}
