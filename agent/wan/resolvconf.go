package wan

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// resolvConf are where name servers may stand: resolv.conf(5), and what OpenWrt's netifd has learned of them. There the
// former leads to dnsmasq on this host alone, which asks those of the latter.
var resolvConf = []string{"/etc/resolv.conf", "/tmp/resolv.conf.d/resolv.conf.auto"}

// nameServers reads the addresses of name servers. A file that cannot be read has none.
func nameServers(files []string) (all []netip.AddrPort) {
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, line := range strings.Split(string(text), "\n") {
			word := strings.Fields(line)
			if len(word) < 2 || word[0] != "nameserver" {
				continue
			}
			a, err := netip.ParseAddr(word[1])
			if s := netip.AddrPortFrom(a.Unmap(), 53); err == nil && !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// destinations are the present ones, with the name servers of the system where they may count; see Targets.Get.
func (p Path) destinations() (Destinations, <-chan struct{}) {
	d, changed := p.To.Get()
	if len(p.DNS) == 0 && (d.Names || d.Told) {
		d.System = nameServers(resolvConf)
	}
	return d, changed
}
