package standalone

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"wguplink/agent/mtu"
)

// journal prints lines with the time since the start.
type journal struct {
	out   io.Writer
	start time.Time
	mu    sync.Mutex
}

func (j *journal) say(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "%8.1f s  "+format+"\n", append([]any{time.Since(j.start).Seconds()}, args...)...)
}

// introduce prints what routers need. The two blocks are as they go into the files.
func (s *server) introduce() {
	_, key, link := s.gw.Data()
	broker := "http://" + net.JoinHostPort(s.c.Address.String(), strconv.Itoa(int(s.c.HTTPPort)))
	endpoint := net.JoinHostPort(s.c.Address.String(), strconv.Itoa(int(s.c.Port)))
	batman := ""
	if s.batman {
		batman = "\toption batman 'bat0'\n"
	}
	fmt.Fprintf(s.c.Out, `
An OpenWrt router, /etc/config/wguplink:

config uplink 'mesh'
	option protocol 'wgkex'
	list broker '%s'
	option domain '%s'
	option vxlan_id '%d'
%s
config gateway 'try'
	option uplink 'mesh'
	option public_key '%v'
	list endpoint '%s'
	option link_address '%s'

A Gluon site, in site.conf:

  mesh_vpn = {
    wireguard = {
      protocol = 'wgkex',
      mtu = %d,
      broker = '%s',
      domain = '%s',
      vxlan_id = %d,
    },
  },

The gateway answers in the mesh at %v. Ctrl-C ends it, and takes everything away.

`, broker, Domain, VXLANID, batman, key, endpoint, link, meshMTU-mtu.VXLAN, broker, Domain, VXLANID, meshAddress.Addr())
}
