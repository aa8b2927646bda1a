//go:build !nobroker

package doctor

import (
	"context"
	"crypto/sha256"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/wan"
)

// The real client meets a server whose certificate no authority has signed, or that has not the pin.
func TestCertificate(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo))
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	base, err := url.Parse(server.URL)
	ok(t, err)
	for name, o := range map[string]broker.Options{
		"unknown authority": {},
		"pin":               {CAFile: broker.PinOnly, Pins: [][sha256.Size]byte{{1}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			o.Bases, o.Domain, o.Dial = []*url.URL{base}, "ffxx_city", (&net.Dialer{}).DialContext
			b.o.NewRegistrar = func(config.Uplink, wan.Path, netip.Addr) (Registrar, error) { return broker.New(o) }
			b.kernel.shakes = map[wgtypes.Key]int{wgKey(1): 1}
			all := b.examine(context.Background(), nil)
			b.close()
			f := all[5]
			if Code(all) != 15 || f.Outcome != Failed || !strings.Contains(f.Cause,
				"its certificate is not accepted") || !strings.Contains(f.Remedy, "ca-bundle") {
				t.Errorf("exit code %d, %+v", Code(all), f)
			}
		})
	}
}
