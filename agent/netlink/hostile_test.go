package netlink

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Reading any message ends, and does not panic.
func FuzzMessages(f *testing.F) {
	link := NewLinkRequest(unix.RTM_NEWLINK, 0, 7)
	link.String(unix.IFLA_IFNAME, "vx")
	link.Nested(unix.IFLA_LINKINFO, func() {
		link.Attr(unix.IFLA_INFO_KIND, []byte("vxlan"))
		link.Nested(unix.IFLA_INFO_DATA, func() { (&Vxlan{VxlanId: 1, Port: 2}).put(link) })
	})
	f.Add(link.finish(1, 0))
	route := NewRequest(unix.RTM_NEWROUTE, 0, make([]byte, unix.SizeofRtMsg))
	route.Attr(unix.RTA_DST, []byte{10, 0, 0, 1})
	route.Attr(unix.RTA_MULTIPATH, []byte{8, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0})
	f.Add(route.finish(1, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		Messages(b, func(h Header, m []byte) error {
			ParseLink(m)
			failure(h, m)
			if len(m) >= unix.SizeofRtMsg {
				if r := parseRoute(m); r.Dst == nil {
					t.Error("a route without a destination")
				}
				nexthops(m)
			}
			if len(m) >= unix.SizeofIfAddrmsg {
				parseAddr(m)
			}
			parseFamily(m)
			filter := &Filter{}
			filter.options(m)
			filter.police(m)
			return nil
		})
	})
}

func TestFailure(t *testing.T) {
	word := func(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	if err := failure(Header{}, word(0)); err != nil {
		t.Error(err)
	}
	if err := failure(Header{}, append(word(-int32(unix.EPERM)), "the request"...)); !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
	if err := failure(Header{}, []byte{1}); !errors.Is(err, errShort) {
		t.Error(err)
	}
}

// The kernel's answers come by a pair of sockets here: a list that changed on its way is told from one that is whole,
// also where only its last message says so.
func TestInterrupted(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	message := func(kind, flags uint16, seq uint32, data []byte) []byte {
		return (&Request{Kind: kind, Flags: flags, Data: data}).finish(seq, kind)
	}
	multi := uint16(unix.NLM_F_MULTI)
	for _, tt := range []struct {
		name    string
		answers [][]byte
		n       int
		want    error
	}{
		{"whole", [][]byte{message(16, multi, 1, []byte{1, 2, 3, 4}),
			message(unix.NLMSG_DONE, multi, 1, make([]byte, 4))}, 1, nil},
		{"the last message says so", [][]byte{message(16, multi, 1, []byte{1, 2, 3, 4}),
			message(unix.NLMSG_DONE, multi|unix.NLM_F_DUMP_INTR, 1, make([]byte, 4))}, 1, ErrDumpInterrupted},
		{"the first one says so", [][]byte{message(16, multi|unix.NLM_F_DUMP_INTR, 1, nil),
			message(unix.NLMSG_DONE, multi, 1, nil)}, 1, ErrDumpInterrupted},
		{"failed on its way", [][]byte{message(16, multi, 1, nil),
			message(unix.NLMSG_DONE, multi, 1, binary.NativeEndian.AppendUint32(nil, 1+^uint32(unix.EMSGSIZE)))}, 1,
			unix.EMSGSIZE},
		{"the rest of an older answer", [][]byte{message(16, multi, 0, nil), message(unix.NLMSG_DONE, multi, 0, nil),
			message(16, 0, 1, nil)}, 1, nil},
		{"another kind beside", [][]byte{append(message(20, multi, 1, nil), message(16, multi, 1, nil)...),
			message(unix.NLMSG_DONE, multi, 1, nil)}, 1, nil},
		{"cut short", [][]byte{message(16, 0, 1, []byte{1, 2, 3, 4})[:18]}, 0, errShort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &Handle{fd: fds[0]}
			for _, a := range tt.answers {
				if _, err := unix.Write(fds[1], a); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			err := h.answer(1, 16, func([]byte) { n++ })
			if !errors.Is(err, tt.want) || n != tt.n {
				t.Errorf("%v, %d messages", err, n)
			}
		})
	}
}
