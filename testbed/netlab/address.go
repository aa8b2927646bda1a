package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is a route of a host.
type Route struct {
	Dst    netip.Prefix // zero: the default route of Via's family
	Via    netip.Addr   // zero: directly on Dev
	Dev    string       // "": found by Via
	Table  int          // 0: main
	Metric int          // 0: the kernel's default
}

// localRoute is how long an address may take until it has its local route.
const localRoute = time.Minute

// Addr adds an address and its prefix to dev. It is usable at once.
func (h *Host) Addr(dev string, prefix netip.Prefix) error {
	if err := h.address(dev, prefix, h.nl.AddrAdd, "add"); err != nil || dev != "lo" || prefix.Addr().Is4() {
		return err
	}
	// The kernel makes a new IPv6 address local a moment later, on a thread of its own, which a busy machine keeps
	// waiting for seconds. On lo the prefix's route is there already and loops packets around.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < localRoute; {
		routes, err := h.nl.RouteGet(prefix.Addr().AsSlice())
		if err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("netlab: host %s: address %s on lo has no local route after %v", h.name, prefix, localRoute)
}

// DelAddr takes an address from dev.
func (h *Host) DelAddr(dev string, prefix netip.Prefix) error {
	return h.address(dev, prefix, h.nl.AddrDel, "delete")
}

func (h *Host) address(dev string, prefix netip.Prefix, do func(netlink.Link, *netlink.Addr) error, verb string) error {
	link, err := h.nl.LinkByName(dev)
	if err == nil {
		addr := &netlink.Addr{IPNet: ipNet(prefix)}
		if prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		err = do(link, addr)
	}
	if err != nil {
		return fmt.Errorf("netlab: host %s: %s address %s on %s: %w", h.name, verb, prefix, dev, err)
	}
	return nil
}

// Route adds a route.
func (h *Host) Route(r Route) error { return h.route(r, h.nl.RouteAdd, "add") }

// DelRoute deletes a route.
func (h *Host) DelRoute(r Route) error { return h.route(r, h.nl.RouteDel, "delete") }

func (h *Host) route(r Route, do func(*netlink.Route) error, verb string) error {
	route := &netlink.Route{Table: r.Table, Priority: r.Metric, Family: netlink.FAMILY_V4}
	if !r.Dst.IsValid() {
		r.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Via.Is6() {
			r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	route.Dst = ipNet(r.Dst)
	if r.Dst.Addr().Is6() {
		route.Family = netlink.FAMILY_V6
	}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	} else if r.Dst.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	var err error
	if r.Dev != "" {
		var link netlink.Link
		if link, err = h.nl.LinkByName(r.Dev); err == nil {
			route.LinkIndex = link.Attrs().Index
		}
	}
	if err == nil {
		err = do(route)
	}
	if err != nil {
		return fmt.Errorf("netlab: host %s: %s route to %s via %s dev %s: %w", h.name, verb, r.Dst, r.Via, r.Dev, err)
	}
	return nil
}

// Rule sends packets of a mark to a routing table. families are
// netlink.FAMILY_V4 and FAMILY_V6; without any, both.
func (h *Host) Rule(mark uint32, table int, families ...int) error {
	return h.rule(mark, table, families, h.nl.RuleAdd, "add")
}

// DelRule undoes Rule.
func (h *Host) DelRule(mark uint32, table int, families ...int) error {
	return h.rule(mark, table, families, h.nl.RuleDel, "delete")
}

func (h *Host) rule(mark uint32, table int, families []int, do func(*netlink.Rule) error, verb string) error {
	if len(families) == 0 {
		families = []int{netlink.FAMILY_V4, netlink.FAMILY_V6}
	}
	var errs []error
	for _, family := range families {
		rule := netlink.NewRule()
		rule.Family, rule.Mark, rule.Table = family, mark, table
		if err := do(rule); err != nil {
			errs = append(errs, fmt.Errorf("netlab: host %s: %s rule for mark %d to table %d: %w", h.name, verb,
				mark, table, err))
		}
	}
	return errors.Join(errs...)
}

// LinkUp sets dev up.
func (h *Host) LinkUp(dev string) error { return h.link(dev, h.nl.LinkSetUp, "up") }

// LinkDown sets dev down; the other end of its wire loses the carrier. IPv6
// addresses and all routes of dev go, as on any host.
func (h *Host) LinkDown(dev string) error { return h.link(dev, h.nl.LinkSetDown, "down") }

func (h *Host) link(dev string, do func(netlink.Link) error, verb string) error {
	link, err := h.nl.LinkByName(dev)
	if err == nil {
		err = do(link)
	}
	if err != nil {
		return fmt.Errorf("netlab: host %s: set %s %s: %w", h.name, dev, verb, err)
	}
	return nil
}

// Forward makes the host a router for IPv4 and IPv6.
func (h *Host) Forward() error {
	return errors.Join(
		h.Sysctl("net.ipv4.ip_forward", "1"),
		h.Sysctl("net.ipv6.conf.all.forwarding", "1"),
		h.Sysctl("net.ipv6.conf.default.forwarding", "1"))
}

// Sysctl sets a key below net., written with dots, or with slashes where a part
// has a dot in it, as VLAN devices do.
func (h *Host) Sysctl(key, value string) error {
	name := key
	if !strings.Contains(key, "/") {
		name = strings.ReplaceAll(key, ".", "/")
	}
	if !strings.HasPrefix(name, "net/") || strings.Contains(name, "..") {
		return fmt.Errorf("netlab: host %s: sysctl %s: only keys below net are a host's own", h.name, key)
	}
	// The kernel shows the keys of the namespace that the thread is in.
	err := h.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
	if err != nil {
		return fmt.Errorf("netlab: host %s: sysctl %s=%s: %w", h.name, key, value, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
