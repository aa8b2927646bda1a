package netlab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Drop says which packets a router is to lose, silently. Zero fields match
// anything; From or To is needed.
type Drop struct {
	From, To         netip.Prefix
	Proto            int    // IP protocol, for example unix.IPPROTO_UDP
	FromPort, ToPort uint16 // need a Proto that has ports
}

// DropAddr loses everything to and from an address.
func DropAddr(a netip.Addr) []Drop {
	p := netip.PrefixFrom(a, a.BitLen())
	return []Drop{{To: p}, {From: p}}
}

// firstDrop is the preference of the first drop rule: after the table of local
// addresses, before all others that a lab is likely to have.
const firstDrop = 100

// Drop makes the host lose what it would forward, or send itself, and matches
// any of drops, from now on until undo is called. Packets for the host's own
// addresses are not affected.
func (h *Host) Drop(drops ...Drop) (undo func() error, err error) {
	var rules []*netlink.Rule
	undo = func() error {
		var errs []error
		for _, rule := range rules {
			if err := h.nl.RuleDel(rule); err != nil {
				errs = append(errs, fmt.Errorf("netlab: host %s: undo drop: %w", h.name, err))
			}
		}
		rules = nil
		return errors.Join(errs...)
	}
	for _, d := range drops {
		rule, err := d.rule()
		if err == nil {
			h.mu.Lock()
			rule.Priority = firstDrop + h.drops
			h.drops++
			h.mu.Unlock()
			err = h.nl.RuleAdd(rule)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("netlab: host %s: drop %+v: %w", h.name, d, err), undo())
		}
		rules = append(rules, rule)
	}
	return undo, nil
}

func (d Drop) rule() (*netlink.Rule, error) {
	if !d.From.IsValid() && !d.To.IsValid() {
		return nil, errors.New("neither From nor To is set")
	}
	rule := netlink.NewRule()
	rule.Type = unix.RTN_BLACKHOLE
	rule.Family = netlink.FAMILY_V4
	if d.From.Addr().Is6() || d.To.Addr().Is6() {
		rule.Family = netlink.FAMILY_V6
	}
	if d.From.IsValid() {
		rule.Src = ipNet(d.From.Masked())
	}
	if d.To.IsValid() {
		rule.Dst = ipNet(d.To.Masked())
	}
	rule.IPProto = d.Proto
	if d.FromPort != 0 {
		rule.Sport = netlink.NewRulePortRange(d.FromPort, d.FromPort)
	}
	if d.ToPort != 0 {
		rule.Dport = netlink.NewRulePortRange(d.ToPort, d.ToPort)
	}
	return rule, nil
}
