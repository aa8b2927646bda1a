package netlink

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Places for queueing disciplines and filters (linux/pkt_sched.h).
const (
	HANDLE_ROOT    = 0xffffffff
	HANDLE_INGRESS = 0xfffffff1
	// HANDLE_MIN_INGRESS is where filters for arriving packets are, in an ingress as well as in a clsact discipline.
	HANDLE_MIN_INGRESS = 0xfffffff2
)

// HandleStr writes a handle as tc does.
func HandleStr(h uint32) string { return fmt.Sprintf("%x:%x", h>>16, h&0xffff) }

// Qdisc is a queueing discipline.
type Qdisc struct {
	LinkIndex      int
	Handle, Parent uint32
	Kind           string
	Tbf            *Tbf // of the kind tbf
}

// Tbf is a token bucket.
type Tbf struct {
	Rate   uint64 // bytes per second, below 2^32
	Limit  uint32 // bytes that may wait
	Buffer uint32 // the size of the bucket, in ticks of Xmittime
}

// Filter is one that sees all packets (matchall), or another kind's.
type Filter struct {
	LinkIndex          int
	Handle, Parent     uint32
	Priority, Protocol uint16
	Kind               string
	Actions            int     // their number
	Police             *Police // the last one of its kind
}

// Police is an action that drops what comes too fast.
type Police struct {
	Rate   uint32 // bytes per second
	Burst  uint32 // the size of the bucket, in bytes
	Mtu    uint32 // the largest packet, in bytes
	Exceed int32  // what to do with what is too much: TC_POLICE_SHOT
}

// TC_POLICE_SHOT drops a packet.
const TC_POLICE_SHOT = 2

// A tick of the scheduler's clock is 64 ns (PSCHED_SHIFT, net/pkt_sched.h), and tc counts whole microseconds: both
// since Linux 2.6.31.

// Xmittime gives the ticks that so many bytes take at a rate in bytes per second.
func Xmittime(rate uint64, size uint32) uint32 {
	return uint32(uint64(size) * 1e6 / max(rate, 1) * 1000 / 64)
}

// Xmitsize gives the bytes that so many ticks take.
func Xmitsize(rate uint64, ticks uint32) uint32 {
	return uint32(rate * (uint64(ticks) * 64 / 1000) / 1e6)
}

// Attributes and sizes (linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h).
const (
	tcaKind    = 1
	tcaOptions = 2

	tbfParms  = 1
	sizeofTbf = 36 // struct tc_tbf_qopt

	matchallAct = 2

	actKind    = 1
	actOptions = 2

	policeTbf    = 1
	policeRate   = 2
	sizeofPolice = 56   // struct tc_police
	sizeofTable  = 1024 // a table of rates

	sizeofTcmsg = 20
	ethernet    = 1 // TC_LINKLAYER_ETHERNET
)

func tcmsg(index int, handle, parent, info uint32) []byte {
	b := make([]byte, sizeofTcmsg)
	for i, v := range []uint32{uint32(index), handle, parent, info} {
		binary.NativeEndian.PutUint32(b[4+4*i:], v)
	}
	return b
}

// QdiscList gives the queueing disciplines of a link.
func (h *Handle) QdiscList(l Link) (list []*Qdisc, err error) {
	index := l.Attrs().Index
	err = h.Each(NewRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP, tcmsg(index, 0, 0, 0)),
		unix.RTM_NEWQDISC, func(m []byte) {
			if len(m) < sizeofTcmsg || Number(m[4:]) != index {
				return
			}
			q := &Qdisc{LinkIndex: index, Handle: number32(m[8:]), Parent: number32(m[12:])}
			Attributes(m[sizeofTcmsg:], func(k uint16, v []byte) {
				switch {
				case k == tcaKind:
					q.Kind = text(v)
				case k == tcaOptions && q.Kind == "tbf": // the kind comes first
					Attributes(v, func(k uint16, v []byte) {
						if k == tbfParms && len(v) >= sizeofTbf {
							q.Tbf = &Tbf{Rate: uint64(number32(v[8:])), Limit: number32(v[24:]),
								Buffer: number32(v[28:])}
						}
					})
				}
			})
			list = append(list, q)
		})
	return list, err
}

// QdiscAdd adds a discipline: a clsact, or a tbf.
func (h *Handle) QdiscAdd(q *Qdisc) error {
	return h.qdisc(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, q)
}

// QdiscReplace adds a discipline in the place of another, or changes the one with that handle.
func (h *Handle) QdiscReplace(q *Qdisc) error {
	return h.qdisc(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, q)
}

// QdiscDel removes a discipline.
func (h *Handle) QdiscDel(q *Qdisc) error { return h.qdisc(unix.RTM_DELQDISC, 0, q) }

func (h *Handle) qdisc(kind, flags int, q *Qdisc) error {
	r := NewRequest(kind, flags, tcmsg(q.LinkIndex, q.Handle, q.Parent, 0))
	if kind == unix.RTM_NEWQDISC {
		r.String(tcaKind, q.Kind)
		r.Nested(tcaOptions, func() {
			if q.Tbf == nil {
				return
			}
			v := make([]byte, sizeofTbf)
			binary.NativeEndian.PutUint32(v[8:], uint32(q.Tbf.Rate))
			binary.NativeEndian.PutUint32(v[24:], q.Tbf.Limit)
			binary.NativeEndian.PutUint32(v[28:], q.Tbf.Buffer)
			r.Attr(tbfParms, v)
		})
	}
	_, err := h.Execute(r, 0)
	return err
}

// FilterList gives the filters at a place of a link. The kernel lists a place itself, too, as one without handle and
// action.
func (h *Handle) FilterList(l Link, parent uint32) (list []*Filter, err error) {
	index := l.Attrs().Index
	err = h.Each(NewRequest(unix.RTM_GETTFILTER, unix.NLM_F_DUMP, tcmsg(index, 0, parent, 0)),
		unix.RTM_NEWTFILTER, func(m []byte) {
			if len(m) < sizeofTcmsg || Number(m[4:]) != index {
				return
			}
			info := number32(m[16:])
			f := &Filter{LinkIndex: index, Handle: number32(m[8:]), Parent: number32(m[12:]),
				Priority: uint16(info >> 16),
				Protocol: swap(uint16(info))}
			Attributes(m[sizeofTcmsg:], func(k uint16, v []byte) {
				switch {
				case k == tcaKind:
					f.Kind = text(v)
				case k == tcaOptions && f.Kind == "matchall":
					f.options(v)
				}
			})
			list = append(list, f)
		})
	return list, err
}

// swap changes between the machine's order of bytes and the network's.
func swap(n uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, n))
}

func (f *Filter) options(v []byte) {
	Attributes(v, func(k uint16, v []byte) {
		if k != matchallAct {
			return
		}
		Attributes(v, func(_ uint16, v []byte) { // one for each action, numbered
			f.Actions++
			kind := ""
			Attributes(v, func(k uint16, v []byte) {
				switch {
				case k == actKind:
					kind = text(v)
				case k == actOptions && kind == "police":
					f.police(v)
				}
			})
		})
	})
}

func (f *Filter) police(v []byte) {
	Attributes(v, func(k uint16, v []byte) {
		if k == policeTbf && len(v) >= sizeofPolice {
			p := &Police{Exceed: int32(number32(v[4:])), Mtu: number32(v[16:]), Rate: number32(v[28:])}
			p.Burst = Xmitsize(uint64(p.Rate), number32(v[12:]))
			f.Police = p
		}
	})
}

// FilterAdd adds a filter that sees all packets, with its police action.
func (h *Handle) FilterAdd(f *Filter) error {
	return h.filter(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, f)
}

// FilterDel removes a filter; without a handle, all of its priority.
func (h *Handle) FilterDel(f *Filter) error { return h.filter(unix.RTM_DELTFILTER, 0, f) }

func (h *Handle) filter(kind, flags int, f *Filter) error {
	info := uint32(f.Priority)<<16 | uint32(swap(f.Protocol))
	r := NewRequest(kind, flags, tcmsg(f.LinkIndex, f.Handle, f.Parent, info))
	r.String(tcaKind, f.Kind)
	r.Nested(tcaOptions, func() {
		if p := f.Police; p != nil {
			r.Nested(matchallAct, func() { r.Nested(1, func() { p.put(r) }) })
		}
	})
	_, err := h.Execute(r, 0)
	return err
}

func (p *Police) put(r *Request) {
	r.String(actKind, "police")
	r.Nested(actOptions, func() {
		v := make([]byte, sizeofPolice)
		binary.NativeEndian.PutUint32(v[4:], uint32(p.Exceed))
		binary.NativeEndian.PutUint32(v[12:], Xmittime(uint64(p.Rate), p.Burst))
		binary.NativeEndian.PutUint32(v[16:], p.Mtu)
		// struct tc_ratespec: the kernel wants a table of rates with its scale, and takes nothing out of it since Linux
		// 3.11 when it is told the link layer.
		v[20], v[21] = 8, ethernet
		binary.NativeEndian.PutUint32(v[28:], p.Rate)
		r.Attr(policeTbf, v)
		r.Attr(policeRate, make([]byte, sizeofTable))
	})
}
