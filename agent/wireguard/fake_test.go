package wireguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	library "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// fake is a kernel with one device. It reads requests and writes answers with the netlink library, as the kernel does:
// lists are marked as such, and an answer has as many messages as it needs, each of at most page bytes of allowed IPs.
type fake struct {
	*testing.T
	name        string
	device      wgtypes.Device
	page        int
	interrupted int     // so many reads are, by a change
	errs        []error // the next answers
	requests    int
	longest     int // bytes of a request
}

func (f *fake) Close() {}

func (f *fake) client() *Client {
	return &Client{kernel: f, family: netlink.Family{ID: 33, Version: 1}}
}

func (f *fake) Each(r *netlink.Request, kind uint16, take func([]byte)) error {
	f.requests++
	f.longest = max(f.longest, len(r.Data))
	if r.Kind != 33 || r.Data[1] != unix.WG_GENL_VERSION {
		f.Errorf("request of kind %d, version %d", r.Kind, r.Data[1])
	}
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return err
	}
	d := f.decoder(r.Data[4:])
	switch r.Data[0] {
	case unix.WG_CMD_GET_DEVICE:
		if kind != 33 || r.Flags&unix.NLM_F_DUMP != unix.NLM_F_DUMP {
			f.Errorf("a read with flags %x, answers of kind %d", r.Flags, kind)
		}
		if !d.Next() || d.Type() != unix.WGDEVICE_A_IFNAME || d.String() != f.name {
			return unix.ENODEV
		}
		for _, m := range f.messages() {
			take(append([]byte{unix.WG_CMD_GET_DEVICE, 1, 0, 0}, m...))
			clear(m)
		}
		if f.interrupted > 0 {
			f.interrupted--
			return netlink.ErrDumpInterrupted
		}
	case unix.WG_CMD_SET_DEVICE:
		if kind != 0 {
			f.Errorf("a setting that waits for an answer of kind %d", kind)
		}
		return f.set(d)
	default:
		f.Errorf("command %d", r.Data[0])
	}
	return nil
}

func (f *fake) decoder(b []byte) *library.AttributeDecoder {
	d, err := library.NewAttributeDecoder(b)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// list calls each with what is in each element of the list.
func (f *fake) list(d *library.AttributeDecoder, each func(*library.AttributeDecoder)) {
	if d.TypeFlags()&unix.NLA_F_NESTED == 0 {
		f.Errorf("attribute %d is not marked as a list", d.Type())
	}
	for l := f.decoder(d.Bytes()); l.Next(); {
		if l.TypeFlags()&unix.NLA_F_NESTED == 0 {
			f.Errorf("element %d is not marked as a list", l.Type())
		}
		each(f.decoder(l.Bytes()))
	}
}

func (f *fake) set(d *library.AttributeDecoder) error {
	var cfg wgtypes.Config
	for d.Next() {
		switch d.Type() {
		case unix.WGDEVICE_A_IFNAME:
			if d.String() != f.name {
				return unix.ENODEV
			}
		case unix.WGDEVICE_A_PRIVATE_KEY:
			cfg.PrivateKey = ptr(wgtypes.Key(d.Bytes()))
		case unix.WGDEVICE_A_LISTEN_PORT:
			cfg.ListenPort = ptr(int(d.Uint16()))
		case unix.WGDEVICE_A_FWMARK:
			cfg.FirewallMark = ptr(int(d.Uint32()))
		case unix.WGDEVICE_A_FLAGS:
			cfg.ReplacePeers = d.Uint32() == unix.WGDEVICE_F_REPLACE_PEERS
		case unix.WGDEVICE_A_PEERS:
			f.list(d, func(p *library.AttributeDecoder) { cfg.Peers = append(cfg.Peers, f.peer(p)) })
		default:
			f.Errorf("attribute %d of a device", d.Type())
		}
	}
	apply(&f.device, cfg)
	return d.Err()
}

func (f *fake) peer(d *library.AttributeDecoder) (p wgtypes.PeerConfig) {
	for d.Next() {
		switch d.Type() {
		case unix.WGPEER_A_PUBLIC_KEY:
			p.PublicKey = wgtypes.Key(d.Bytes())
		case unix.WGPEER_A_PRESHARED_KEY:
			p.PresharedKey = ptr(wgtypes.Key(d.Bytes()))
		case unix.WGPEER_A_FLAGS:
			n := d.Uint32()
			p.Remove, p.ReplaceAllowedIPs, p.UpdateOnly = n&unix.WGPEER_F_REMOVE_ME != 0,
				n&unix.WGPEER_F_REPLACE_ALLOWEDIPS != 0, n&unix.WGPEER_F_UPDATE_ONLY != 0
		case unix.WGPEER_A_ENDPOINT:
			b := d.Bytes()
			p.Endpoint = &net.UDPAddr{Port: int(binary.BigEndian.Uint16(b[2:]))}
			switch family := binary.NativeEndian.Uint16(b); {
			case family == unix.AF_INET && len(b) == unix.SizeofSockaddrInet4:
				p.Endpoint.IP = b[4:8]
			case family == unix.AF_INET6 && len(b) == unix.SizeofSockaddrInet6:
				p.Endpoint.IP = b[8:24]
			default:
				f.Errorf("endpoint %x", b)
			}
		case unix.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
			p.PersistentKeepaliveInterval = ptr(time.Duration(d.Uint16()) * time.Second)
		case unix.WGPEER_A_ALLOWEDIPS:
			f.list(d, func(a *library.AttributeDecoder) {
				var n net.IPNet
				bits := map[uint16]int{unix.AF_INET: 32, unix.AF_INET6: 128}
				family, ones := uint16(0), 0
				for a.Next() {
					switch a.Type() {
					case unix.WGALLOWEDIP_A_FAMILY:
						family = a.Uint16()
					case unix.WGALLOWEDIP_A_IPADDR:
						n.IP = slices.Clone(a.Bytes())
					case unix.WGALLOWEDIP_A_CIDR_MASK:
						ones = int(a.Uint8())
					}
				}
				if 8*len(n.IP) != bits[family] {
					f.Errorf("address %v of family %d", n.IP, family)
				}
				n.Mask = net.CIDRMask(ones, 8*len(n.IP))
				p.AllowedIPs = append(p.AllowedIPs, n)
			})
		default:
			f.Errorf("attribute %d of a peer", d.Type())
		}
	}
	if d.Err() != nil {
		f.Error(d.Err())
	}
	return p
}

// apply does what a device does with a configuration.
func apply(d *wgtypes.Device, cfg wgtypes.Config) {
	if cfg.PrivateKey != nil {
		d.PrivateKey, d.PublicKey = *cfg.PrivateKey, cfg.PrivateKey.PublicKey()
	}
	if cfg.ListenPort != nil {
		d.ListenPort = *cfg.ListenPort
	}
	if cfg.FirewallMark != nil {
		d.FirewallMark = *cfg.FirewallMark
	}
	if cfg.ReplacePeers {
		d.Peers = nil
	}
	for _, p := range cfg.Peers {
		i := slices.IndexFunc(d.Peers, func(is wgtypes.Peer) bool { return is.PublicKey == p.PublicKey })
		switch {
		case p.Remove:
			if i >= 0 {
				d.Peers = slices.Delete(d.Peers, i, i+1)
			}
			continue
		case i < 0 && p.UpdateOnly:
			continue
		case i < 0:
			i = len(d.Peers)
			d.Peers = append(d.Peers, wgtypes.Peer{PublicKey: p.PublicKey, ProtocolVersion: 1})
		}
		is := &d.Peers[i]
		if p.PresharedKey != nil {
			is.PresharedKey = *p.PresharedKey
		}
		if p.Endpoint != nil {
			is.Endpoint = p.Endpoint
		}
		if p.PersistentKeepaliveInterval != nil {
			is.PersistentKeepaliveInterval = *p.PersistentKeepaliveInterval
		}
		if p.ReplaceAllowedIPs {
			is.AllowedIPs = nil
		}
		for _, n := range p.AllowedIPs {
			for j := range d.Peers {
				d.Peers[j].AllowedIPs = slices.DeleteFunc(d.Peers[j].AllowedIPs,
					func(is net.IPNet) bool { return is.IP.Equal(n.IP) && bytes.Equal(is.Mask, n.Mask) })
			}
			is.AllowedIPs = append(is.AllowedIPs, n)
		}
	}
}

// messages is the device as the kernel lists it.
func (f *fake) messages() (all [][]byte) {
	peers := slices.Clone(f.device.Peers)
	begun := map[wgtypes.Key]bool{}
	for first := true; first || len(peers) > 0; first = false {
		e := library.NewAttributeEncoder()
		e.Uint32(unix.WGDEVICE_A_IFINDEX, 7)
		e.String(unix.WGDEVICE_A_IFNAME, f.name)
		if first {
			if d := f.device; d.PrivateKey != (wgtypes.Key{}) {
				e.Bytes(unix.WGDEVICE_A_PRIVATE_KEY, d.PrivateKey[:])
				e.Bytes(unix.WGDEVICE_A_PUBLIC_KEY, d.PublicKey[:])
			}
			e.Uint16(unix.WGDEVICE_A_LISTEN_PORT, uint16(f.device.ListenPort))
			e.Uint32(unix.WGDEVICE_A_FWMARK, uint32(f.device.FirewallMark))
		}
		room := f.page
		e.Nested(unix.WGDEVICE_A_PEERS, func(e *library.AttributeEncoder) error {
			for room > 0 && len(peers) > 0 {
				p := &peers[0]
				n := min(len(p.AllowedIPs), room)
				whole := n == len(p.AllowedIPs)
				e.Nested(0, func(e *library.AttributeEncoder) error {
					e.Bytes(unix.WGPEER_A_PUBLIC_KEY, p.PublicKey[:])
					if !begun[p.PublicKey] {
						f.settings(e, *p)
					}
					begun[p.PublicKey] = true
					e.Nested(unix.WGPEER_A_ALLOWEDIPS, func(e *library.AttributeEncoder) error {
						for _, a := range p.AllowedIPs[:n] {
							e.Nested(0, func(e *library.AttributeEncoder) error {
								ones, bits := a.Mask.Size()
								e.Uint16(unix.WGALLOWEDIP_A_FAMILY, map[int]uint16{32: unix.AF_INET,
									128: unix.AF_INET6}[bits])
								e.Bytes(unix.WGALLOWEDIP_A_IPADDR, a.IP)
								e.Uint8(unix.WGALLOWEDIP_A_CIDR_MASK, uint8(ones))
								return nil
							})
						}
						return nil
					})
					return nil
				})
				room -= n + 1
				p.AllowedIPs = p.AllowedIPs[n:]
				if whole {
					peers = peers[1:]
				}
			}
			return nil
		})
		b, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// settings is what of a peer is listed once.
func (f *fake) settings(e *library.AttributeEncoder, p wgtypes.Peer) {
	e.Bytes(unix.WGPEER_A_PRESHARED_KEY, p.PresharedKey[:])
	e.Uint16(unix.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, uint16(p.PersistentKeepaliveInterval/time.Second))
	e.Uint64(unix.WGPEER_A_RX_BYTES, uint64(p.ReceiveBytes))
	e.Uint64(unix.WGPEER_A_TX_BYTES, uint64(p.TransmitBytes))
	e.Uint32(unix.WGPEER_A_PROTOCOL_VERSION, uint32(p.ProtocolVersion))
	var spec []byte
	if t := p.LastHandshakeTime; !t.IsZero() {
		spec = binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, uint64(t.Unix())),
			uint64(t.Nanosecond()))
	} else {
		spec = make([]byte, 16)
	}
	e.Bytes(unix.WGPEER_A_LAST_HANDSHAKE_TIME, spec)
	if p.Endpoint != nil {
		e.Bytes(unix.WGPEER_A_ENDPOINT, sockaddr(p.Endpoint))
	}
}

// The steps that real devices go through (device_test.go), through the kernel's protocol.
func TestFakeKernel(t *testing.T) {
	f := &fake{T: t, name: "wg_fake", page: 50}
	c := f.client()
	want := wgtypes.Device{Name: "wg_fake", Type: wgtypes.LinuxKernel}
	for _, s := range steps(t) {
		ok(t, c.ConfigureDevice("wg_fake", s.cfg))
		s.want(&want)
		if (want.PrivateKey == wgtypes.Key{}) {
			f.device.PublicKey = wgtypes.Key{}
		}
		is, err := c.Device("wg_fake")
		ok(t, err)
		if diff := cmp.Diff(&want, is, same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
	}
	if f.longest > mostBytes {
		t.Errorf("a request of %d bytes", f.longest)
	}
}

// Settings may take several messages. After them, the device is as if all had been set at once.
func TestBatches(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	pool := make([]wgtypes.Key, 100)
	for i := range pool {
		r.Read(pool[i][:])
	}
	nets := many(3000)
	for range 5 {
		f := &fake{T: t, name: "wg_fake", page: 1 + r.Intn(100)}
		c := f.client()
		want := wgtypes.Device{Name: "wg_fake", Type: wgtypes.LinuxKernel}
		for range 2 {
			cfg := wgtypes.Config{ReplacePeers: r.Intn(3) == 0, ListenPort: ptr(r.Intn(1 << 16))}
			for range r.Intn(60) {
				p := wgtypes.PeerConfig{PublicKey: pool[r.Intn(len(pool))], Remove: r.Intn(9) == 0,
					UpdateOnly: r.Intn(5) == 0, ReplaceAllowedIPs: r.Intn(2) == 0}
				if r.Intn(2) == 0 {
					p.Endpoint, p.PresharedKey = &net.UDPAddr{IP: net.IPv4(192, 0, 2, byte(r.Intn(256))),
						Port: r.Intn(1 << 16)}, &pool[r.Intn(len(pool))]
					p.PersistentKeepaliveInterval = ptr(time.Duration(r.Intn(1<<16)) * time.Second)
				}
				if n := r.Intn(8); n > 0 && !p.Remove {
					begin := r.Intn(1000)
					p.AllowedIPs = nets[begin : begin+r.Intn([]int{2, 2, 2, 2, 2, 2, 130, 400}[n])]
				}
				cfg.Peers = append(cfg.Peers, p)
			}
			apply(&want, cfg)
			ok(t, c.ConfigureDevice("wg_fake", cfg))
		}
		is, err := c.Device("wg_fake")
		ok(t, err)
		if diff := cmp.Diff(&want, is, same); diff != "" {
			t.Fatalf("page %d (-want +got):\n%s", f.page, diff)
		}
		if f.longest > mostBytes {
			t.Fatalf("a request of %d bytes", f.longest)
		}
	}
}

// What an agent sets goes in one message, which the kernel does as one.
func TestOneMessage(t *testing.T) {
	f := &fake{T: t, name: "wg_fake", page: 50}
	cfg := wgtypes.Config{PrivateKey: ptr(key(t)), ListenPort: ptr(1), FirewallMark: ptr(-1)}
	for range 40 {
		k := key(t).PublicKey()
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: k, Remove: true}, wgtypes.PeerConfig{PublicKey: k,
			AllowedIPs: many(2)})
	}
	ok(t, f.client().ConfigureDevice("wg_fake", cfg))
	if f.requests != 1 {
		t.Errorf("%d messages", f.requests)
	}
	if want := uint32(1<<32 - 1); uint32(f.device.FirewallMark) != want {
		t.Errorf("mark %#x, want %#x", f.device.FirewallMark, want)
	}
}

func TestCounters(t *testing.T) {
	f := &fake{T: t, name: "wg_fake", page: 1}
	f.device.Peers = []wgtypes.Peer{
		{PublicKey: key(t), ReceiveBytes: 1<<63 - 1, TransmitBytes: 1 << 32, LastHandshakeTime: time.Unix(1<<33,
			999999999), ProtocolVersion: 1},
		{PublicKey: key(t), AllowedIPs: many(5), Endpoint: &net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 1}},
	}
	is, err := f.client().Device("wg_fake")
	ok(t, err)
	if diff := cmp.Diff(f.device.Peers, is.Peers, same); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var bad error
	old := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 1700000000), 5)
	if got := parseTime(old, &bad); bad != nil || !got.Equal(time.Unix(1700000000, 5)) {
		t.Errorf("a time of 32 bits: %v, %v", got, bad)
	}
}

func TestErrors(t *testing.T) {
	k := key(t)
	f := &fake{T: t, name: "wg_fake", page: 50, device: wgtypes.Device{Peers: []wgtypes.Peer{{PublicKey: k}}}}
	c := f.client()
	for _, tt := range []struct{ is, want error }{
		{unix.ENODEV, os.ErrNotExist}, {unix.EOPNOTSUPP, os.ErrNotExist}, {unix.EPERM, unix.EPERM}, {unix.EADDRINUSE,
			unix.EADDRINUSE},
		{io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
	} {
		f.errs = []error{tt.is, tt.is}
		if _, err := c.Device("wg_fake"); !errors.Is(err, tt.want) {
			t.Errorf("read: %v becomes %v", tt.is, err)
		}
		if err := c.ConfigureDevice("wg_fake", wgtypes.Config{}); !errors.Is(err, tt.want) {
			t.Errorf("set: %v becomes %v", tt.is, err)
		}
	}
	f.interrupted = 3
	if d, err := c.Device("wg_fake"); err != nil || len(d.Peers) != 1 {
		t.Errorf("a list that changed three times: %+v, %v", d, err)
	}
	f.interrupted = 1000
	if _, err := c.Device("wg_fake"); !errors.Is(err, netlink.ErrDumpInterrupted) || f.interrupted < 900 {
		t.Errorf("a list that changes for ever: %v after %d times", err, 1000-f.interrupted)
	}
	n := f.requests
	for _, p := range []wgtypes.PeerConfig{
		{Endpoint: &net.UDPAddr{Port: 1}}, {AllowedIPs: []net.IPNet{{}}}, {AllowedIPs: []net.IPNet{{IP: net.IPv4zero}}},
		{AllowedIPs: []net.IPNet{{IP: net.IP{1, 2, 3}, Mask: net.CIDRMask(8, 32)}}},
	} {
		if err := c.ConfigureDevice("wg_fake", wgtypes.Config{Peers: []wgtypes.PeerConfig{p}}); err == nil ||
			f.requests != n {
			t.Errorf("%+v: %v, %d requests", p, err, f.requests-n)
		}
	}
}

// Reading any answer of the kernel ends, and does not panic.
func FuzzParse(f *testing.F) {
	k := &fake{name: "wg", page: 2, device: wgtypes.Device{PrivateKey: wgtypes.Key{1}, Peers: []wgtypes.Peer{
		{PublicKey: wgtypes.Key{2}, AllowedIPs: many(3), Endpoint: &net.UDPAddr{IP: net.IPv6loopback, Port: 1},
			LastHandshakeTime: time.Unix(1, 1)},
		{PublicKey: wgtypes.Key{3}, Endpoint: &net.UDPAddr{IP: net.IPv4bcast, Port: 1}},
	}}}
	for _, m := range k.messages() {
		f.Add(append([]byte{0, 1, 0, 0}, m...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d wgtypes.Device
		err := parse(b, &d)
		for _, p := range d.Peers {
			for _, n := range p.AllowedIPs {
				if ones, _ := n.Mask.Size(); err == nil && (n.IP.To16() == nil || ones > 8*len(n.IP) || n.Mask == nil) {
					t.Errorf("allowed IPs %v of %x", n, b)
				}
			}
			if p.Endpoint != nil && p.Endpoint.IP.To16() == nil {
				t.Errorf("endpoint %v of %x", p.Endpoint, b)
			}
		}
	})
}

// A process's answer likewise; what cannot be read stays out of the error, because it may be a key.
func FuzzAnswer(f *testing.F) {
	f.Add("private_key=" + strings.Repeat("ab", 32) + "\nlisten_port=1\npublic_key=" + strings.Repeat("cd",
		32) + "\nendpoint=[fe80::1%2]:3\nallowed_ip=10.0.0.0/8\nerrno=0\n\n")
	f.Add("errno=-98\n\n")
	f.Add("endpoint=\n\n")
	f.Add("public_key=\nendpoint=:\nlast_handshake_time_sec=9223372036854775807\nlast_handshake_time_nsec=9\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		var d wgtypes.Device
		err := answer(strings.NewReader(text), func(key, value string) error { return setField(&d, key, value) })
		if err == nil && !strings.Contains("\n"+text, "\n\n") && !strings.Contains(text, "\r") {
			t.Error("no end, and no error")
		}
	})
}

func TestAnswer(t *testing.T) {
	secret := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"errno=0\n\n": "<nil>",
		fmt.Sprintf("errno=-%d\n\n", unix.EADDRINUSE):   unix.EADDRINUSE.Error(),
		fmt.Sprintf("errno=%d\n\n", unix.EADDRINUSE):    unix.EADDRINUSE.Error(),
		"private_key=" + secret + "\nerrno=0\n\n":       "<nil>",
		"private_key=" + secret[1:] + "\nerrno=0\n\n":   unreadable("private_key").Error(),
		"private_key=" + secret[2:] + "\nerrno=0\n\n":   unreadable("private_key").Error(),
		"private_key=" + secret[2:] + "\nerrno=-13\n\n": unix.EACCES.Error(),
		"listen_port=x\nerrno=0\n\n":                    unreadable("listen_port").Error(),
		"from_the_future=" + secret + "\nerrno=0\n\n":   "<nil>",
		secret + "\nerrno=0\n\n":                        unreadable("").Error(),
		"listen_port=1\n":                               "the WireGuard process ends in its answer: unexpected EOF",
		"":                                              "the WireGuard process ends in its answer: unexpected EOF",
	} {
		var d wgtypes.Device
		err := answer(strings.NewReader(text), func(key, value string) error { return setField(&d, key, value) })
		got := "<nil>"
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	var d wgtypes.Device
	ok(t, setField(&d, "public_key", secret))
	ok(t, setField(&d, "endpoint", "[fe80::1%2]:3"))
	if want := (&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 3, Zone: "2"}); !cmp.Equal(d.Peers[0].Endpoint, want) {
		t.Errorf("%v, want %v", d.Peers[0].Endpoint, want)
	}
}
