package tunnel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"wguplink/agent/config"
	"wguplink/agent/netlink"
)

// Limit is how much a tunnel may carry, in kbit/s of the packets inside the tunnel; 0 is no limit. What WireGuard adds
// to each packet (60 bytes over IPv4, 80 over IPv6) comes on top.
type Limit struct {
	Ingress uint32 // from the gateway to us
	Egress  uint32 // from us to the gateway
}

// MaxLimit is the largest value of a Limit, in kbit/s: the kernel's police action has bytes per second in 32 bits.
const MaxLimit = config.MaxLimit

// By these numbers we know what we put on a device. An ingress qdisc has always the same handle, so there it is the
// filter that we know, and its late place leaves what others filter for to them.
const (
	egressHandle    = 0x7767 << 16 // "wg"
	ingressPriority = 0x7767
	ingressHandle   = 0xffff << 16
	// ingressParent is where the filters for arriving packets are, in an ingress as well as in a clsact qdisc.
	ingressParent = netlink.HANDLE_MIN_INGRESS
)

// Sizes in bytes, and times in milliseconds of the limit's rate.
const (
	packet = 1500 // at least the MTU of any tunnel

	// A token bucket is emptied by a timer of the kernel. It holds what is sent within five ticks of HZ=100, which
	// OpenWrt has, so that nothing is lost when the timer, or a busy processor, is late. Four packets let a slow line
	// begin a connection without a stop.
	egressFill  = 50
	egressBurst = 4 * packet
	// What cannot be sent yet waits for a tenth of a second, about the round trip of a slow line, so that TCP fills the
	// limit. More would only be delay.
	egressWait = 100

	// A police action cannot let packets wait, it drops them, and TCP then pauses: for a round trip, or for at least
	// 200 ms (Linux's shortest retransmission timeout) when the end of a burst was lost. The bucket holds what comes
	// meanwhile. The kernel also hands arriving packets over in trains, up to 64 KiB long; a train longer than the
	// bucket never passes. On a slow line a train is as long as the first window of a connection, ten packets (RFC
	// 6928).
	ingressFill  = 250
	ingressBurst = 10 * packet
	// A train counts as one packet: with the kernel's default of 2 KB for the largest packet it would be dropped.
	ingressMTU = 0xffff
)

const (
	noEgress  = "the kernel cannot limit what is sent (limit_egress): install kmod-sched-core"
	noIngress = "the kernel cannot limit what is received (limit_ingress): install kmod-sched-core and " +
		"kmod-sched-act-police " +
		"(kmod-sched on OpenWrt 24.10 and before)"
)

// limit makes the limits of a device of ours what is wanted. Queueing disciplines and filters of others stay as they
// are. What the kernel cannot do is a warning: the tunnel works without.
func (t *Tunnel) limit(link netlink.Link, want Limit) (warnings []string, err error) {
	name := link.Attrs().Name
	for _, kbit := range [...]uint32{want.Ingress, want.Egress} {
		if kbit > MaxLimit {
			return nil, fmt.Errorf("limit %s to %d kbit/s: the largest limit is %d kbit/s", name, kbit,
				uint32(MaxLimit))
		}
	}
	qdiscs, err := t.h.QdiscList(link)
	if err != nil && !isUnable(err) {
		return nil, fmt.Errorf("list queueing disciplines of %s: %w", name, err)
	}
	sending, err := t.limitEgress(link, qdiscs, want.Egress)
	if err != nil {
		return nil, fmt.Errorf("limit what %s sends to %d kbit/s: %w", name, want.Egress, err)
	}
	receiving, err := t.limitIngress(link, qdiscs, want.Ingress)
	if err != nil {
		return nil, fmt.Errorf("limit what %s receives to %d kbit/s: %w", name, want.Ingress, err)
	}
	return append(sending, receiving...), nil
}

// limitEgress looks after the device's root queueing discipline, a token bucket.
func (t *Tunnel) limitEgress(link netlink.Link, qdiscs []*netlink.Qdisc, kbit uint32) (warnings []string, err error) {
	root := rootOf(qdiscs)
	ours := root != nil && root.Handle == egressHandle
	switch {
	case kbit == 0 && ours:
		return nil, t.change(func() error { return t.h.QdiscDel(root) })
	case kbit == 0:
		return nil, nil
	// The kernel's own, which every device has from the start, have no handle.
	case root != nil && !ours && root.Handle != 0:
		return []string{fmt.Sprintf(
			"%s has another program's queueing discipline (%s %s): limit_egress is without effect until it is removed",
			link.Attrs().Name, root.Kind, netlink.HandleStr(root.Handle))}, nil
	}
	want := tokenBucket(link.Attrs().Index, kbit)
	if ours && root.Tbf != nil && *root.Tbf == *want.Tbf {
		return nil, nil
	}
	// With the handle that is there, replace changes it and keeps what is queued.
	missing, err := t.attempt(func() error { return t.h.QdiscReplace(want) })
	if missing {
		return []string{noEgress}, nil
	}
	return nil, err
}

func rootOf(qdiscs []*netlink.Qdisc) *netlink.Qdisc {
	for _, q := range qdiscs {
		if q.Parent == netlink.HANDLE_ROOT {
			return q
		}
	}
	return nil
}

func tokenBucket(index int, kbit uint32) *netlink.Qdisc {
	rate := uint64(kbit) * 125 // bytes per second
	burst := max(rate*egressFill/1000, egressBurst)
	return &netlink.Qdisc{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: egressHandle,
		Kind: "tbf", Tbf: &netlink.Tbf{
			Rate:   rate,
			Limit:  uint32(burst + rate*egressWait/1000),
			Buffer: netlink.Xmittime(rate, uint32(burst)),
		}}
}

// limitIngress looks after one filter for all that arrives, with a police action that drops what is too much.
func (t *Tunnel) limitIngress(link netlink.Link, qdiscs []*netlink.Qdisc, kbit uint32) (warnings []string, err error) {
	var hook *netlink.Qdisc
	for _, q := range qdiscs {
		if q.Parent == netlink.HANDLE_INGRESS {
			hook = q
		}
	}
	var filters []*netlink.Filter
	if hook != nil {
		if filters, err = t.h.FilterList(link, ingressParent); err != nil && !isUnable(err) {
			return nil, fmt.Errorf("list filters: %w", err)
		}
	}
	want := policer(link.Attrs().Index, kbit)
	ours, others := false, false
	for _, f := range filters {
		if f.Priority != ingressPriority {
			others = true
			continue
		}
		// The kernel lists the place itself, too, as one without handle and action.
		ours = true
		if kbit != 0 && polices(f, want) {
			return nil, nil
		}
	}
	if ours {
		// It cannot be changed in place. Without a handle, all that has this priority goes.
		place := *want
		place.Handle, place.Police = 0, nil
		if err := t.change(func() error { return t.h.FilterDel(&place) }); err != nil {
			return nil, fmt.Errorf("remove the filter: %w", err)
		}
	}
	if kbit == 0 {
		// Earlier versions made one of this kind, which has no effect without filters. A clsact stays: it may be
		// another program's, which is about to add its own.
		if hook != nil && hook.Kind == "ingress" && !others {
			return nil, t.change(func() error { return t.h.QdiscDel(hook) })
		}
		return nil, nil
	}
	if hook == nil {
		// Not an ingress discipline: below that there is no place for filters of what is sent, which a translator for
		// 464XLAT needs.
		hook = &netlink.Qdisc{LinkIndex: want.LinkIndex, Parent: netlink.HANDLE_INGRESS,
			Handle: ingressHandle, Kind: "clsact"}
		if missing, err := t.attempt(func() error { return t.h.QdiscAdd(hook) }); missing {
			return []string{noIngress}, nil
		} else if err != nil {
			return nil, fmt.Errorf("add the clsact discipline: %w", err)
		}
	}
	// Tried each time anew: the module may have been installed meanwhile.
	if missing, err := t.attempt(func() error { return t.h.FilterAdd(want) }); missing {
		return []string{noIngress}, nil
	} else if err != nil {
		return nil, fmt.Errorf("add the filter: %w", err)
	}
	return nil, nil
}

func policer(index int, kbit uint32) *netlink.Filter {
	rate := kbit * 125 // bytes per second
	return &netlink.Filter{
		LinkIndex: index, Parent: ingressParent, Handle: 1, Priority: ingressPriority,
		Protocol: unix.ETH_P_ALL, Kind: "matchall",
		Police: &netlink.Police{
			Rate:   rate,
			Burst:  max(uint32(uint64(rate)*ingressFill/1000), ingressBurst),
			Mtu:    ingressMTU,
			Exceed: netlink.TC_POLICE_SHOT,
		},
	}
}

// polices says whether a filter of the kernel's is the wanted one.
func polices(f, want *netlink.Filter) bool {
	if f.Kind != want.Kind || f.Protocol != want.Protocol || f.Actions != 1 || f.Police == nil {
		return false
	}
	// The kernel has the burst as the time that it takes; so much is lost by rounding.
	w := *want.Police
	w.Burst = netlink.Xmitsize(uint64(w.Rate), netlink.Xmittime(uint64(w.Rate), w.Burst))
	return *f.Police == w
}

// attempt is change for what not every kernel can do: with a kernel that has no such discipline, classifier or action
// it says missing, and nothing was changed.
func (t *Tunnel) attempt(f func() error) (missing bool, err error) {
	err = f()
	if errors.Is(err, unix.ENOENT) || isUnable(err) {
		return true, nil
	}
	return false, t.change(func() error { return err })
}

// isUnable says whether the kernel was built without queueing disciplines, or without filters, altogether.
func isUnable(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }
