//go:build !nobroker

package bugreport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/mask"
	"wguplink/agent/netlink"
	"wguplink/agent/testns"
	"wguplink/agent/wireguard"
	"wguplink/peerselector"
)

const gatewayKey = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(t *testing.T) wgtypes.Key {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	ok(t, err)
	return k
}

// router is a file system with a few files, and what programs print there.
type router struct {
	t    *testing.T
	dir  string
	says map[string]string // by command line
	ran  []string          // the command lines, in order
	o    Options
}

func newRouter(t *testing.T) *router {
	r := &router{t: t, dir: t.TempDir(), says: map[string]string{}}
	r.o = Options{Version: "wguplink 1.2.3", Config: filepath.Join(r.dir, "etc/config"),
		Staged: filepath.Join(r.dir, "tmp/.uci"), Root: r.dir, Run: r.run,
		Now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	return r
}

func (r *router) put(path, text string) {
	r.t.Helper()
	path = filepath.Join(r.dir, path)
	ok(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	ok(r.t, os.WriteFile(path, []byte(text), 0o600))
}

// run prints what is planned for the command line. Without a plan the program is not there.
func (r *router) run(_ context.Context, name string, args ...string) ([]byte, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	r.ran = append(r.ran, line)
	text, known := r.says[line]
	if !known {
		return nil, errors.New("there is no program " + name)
	}
	return []byte(text), nil
}

// report gives the report, and its sections by name; the first has no name.
func (r *router) report() (text string, sections map[string]string) {
	r.t.Helper()
	var b strings.Builder
	ok(r.t, Write(context.Background(), r.o, &b))
	sections = map[string]string{}
	for i, part := range strings.Split(b.String(), "\n== ") {
		name, body := "", part
		if i > 0 {
			name, body, _ = strings.Cut(part, "\n")
		}
		sections[name] = body
	}
	return b.String(), sections
}

func (r *router) without(text string, secrets ...string) {
	r.t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			r.t.Errorf("%s is in the report:\n%s", s, text)
		}
	}
}

func lines(text string) (all []string) {
	for _, l := range strings.Split(text, "\n") {
		if l != "" {
			all = append(all, l)
		}
	}
	return all
}

func TestSystem(t *testing.T) {
	r := newRouter(t)
	r.put("tmp/sysinfo/model", "A Router v2\n")
	r.put("lib/gluon/release", "v2025.1\n")
	r.put("proc/loadavg", "0.00 0.01 0.05 1/80 999\n")
	r.put("proc/meminfo", "MemTotal:  60000 kB\nMemFree:  10000 kB\nMemAvailable:  20000 kB\nBuffers:  1 kB\n")
	r.put("etc/openwrt_release",
		"DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10'\nDISTRIB_TARGET='ath79/generic'\nDISTRIB_TAINTS='x'\n")
	_, s := r.report()
	if want := "wguplink bugreport, 2026-11-29 12:00:00 +0000\n"; !strings.HasPrefix(s[""], want) ||
		!strings.Contains(s[""], mask.Blot) {
		t.Errorf("the head is %q", s[""])
	}
	want := []string{"wguplink 1.2.3", "/tmp/sysinfo/model: A Router v2", "/lib/gluon/release: v2025.1",
		"/proc/loadavg: 0.00 0.01 0.05 1/80 999", "DISTRIB_RELEASE='24.10'", "DISTRIB_TARGET='ath79/generic'",
		"MemTotal:  60000 kB", "MemFree:  10000 kB", "MemAvailable:  20000 kB"}
	if diff := cmp.Diff(want, lines(s["system"])); diff != "" {
		t.Errorf("system (-want +got):\n%s", diff)
	}
}

// Parts stand in a fixed order, and those of others go through the mask as well.
func TestParts(t *testing.T) {
	r := newRouter(t)
	r.put("etc/config/wguplink", "config uplink 'mesh'\n\toption private_key 'not base64 at all'\n")
	r.o.Status = func(_ context.Context, w io.Writer) { fmt.Fprintln(w, "state: not base64 at all") }
	r.o.Doctor = func(_ context.Context, w io.Writer) { fmt.Fprintln(w, "config FAIL password=hunter22") }
	text, s := r.report()
	r.without(text, "not base64", "hunter22")
	var names []string
	for _, l := range lines(text) {
		if name, found := strings.CutPrefix(l, "== "); found {
			names = append(names, strings.TrimSuffix(name, r.o.Config+"/wguplink"))
		}
	}
	want := []string{"system", "configuration ", "status", "devices", "rules and routes", "doctor", "log"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("sections (-want +got):\n%s", diff)
	}
	if s["status"] != "state: ***\n" || s["doctor"] != "config FAIL password=***\n" {
		t.Errorf("status %q, doctor %q", s["status"], s["doctor"])
	}
}

// Values of known options are shown, but for keys. Those of unknown ones are not: they may be a misspelt secret.
func TestConfiguration(t *testing.T) {
	r := newRouter(t)
	r.put("etc/config/wguplink", "config uplink 'mesh'\n\toption domain 'ffxx'\n\toption private_key 'committed'\n"+
		"\toption privat_kee 'misspelt'\n\tlist ntp_server '192.0.2.1'\n\tlist ntp_server '192.0.2.2'\n")
	r.put("tmp/.uci/wguplink", "wguplink.mesh.private_key='staged-key'\n")
	r.put("etc/config/wgpeerselector", "config peer 'gw'\n\toption ifname 'wg_mesh'\n\toption secret_word 'hidden'\n")
	r.o.Status = func(_ context.Context, w io.Writer) { fmt.Fprintln(w, "committed staged-key misspelt hidden") }
	text, s := r.report()
	r.without(text, "committed", "staged-key", "misspelt", "hidden")
	want := []string{"config uplink 'mesh'", "\toption domain 'ffxx'", "\toption private_key '***'",
		"\toption privat_kee '***'", "\toption ntp_server '192.0.2.1'", "\toption ntp_server '192.0.2.2'"}
	if diff := cmp.Diff(want, lines(s["configuration "+r.o.Config+"/wguplink"])); diff != "" {
		t.Errorf("wguplink (-want +got):\n%s", diff)
	}
	want = []string{"config peer 'gw'", "\toption ifname 'wg_mesh'", "\toption secret_word '***'"}
	if diff := cmp.Diff(want, lines(s["configuration "+r.o.Config+"/wgpeerselector"])); diff != "" {
		t.Errorf("wgpeerselector (-want +got):\n%s", diff)
	}
}

// A damaged file is named and not shown, and the mask knows what is left of its secrets.
func TestDamaged(t *testing.T) {
	r := newRouter(t)
	own, preshared := key(t).String(), key(t).String()
	r.put("etc/config/wguplink", "config uplink 'mesh'\n\toption private_key '"+own+"'\n\tlist broker 'x'\n"+
		"config uplink 'cut\n")
	r.put("etc/config/network", "config interface 'wg'\n\toption preshared_key \""+preshared+"\"\nconfig 'oops\n")
	r.o.Err = errors.New("the file is damaged")
	r.o.Status = func(_ context.Context, w io.Writer) { fmt.Fprintln(w, "state:", own, "and", preshared) }
	text, s := r.report()
	r.without(text, own, preshared)
	if got := s["configuration "+r.o.Config+"/wguplink"]; !strings.HasPrefix(got, "it cannot be read: ") ||
		!strings.Contains(got, "the file is damaged\n") {
		t.Errorf("of a damaged file it says %q", got)
	}
	if s["status"] != "state: *** and ***\n" {
		t.Errorf("status %q", s["status"])
	}
}

// Where nothing is there, each part says what is missing, and the report is written all the same.
func TestNothing(t *testing.T) {
	r := newRouter(t)
	r.o.Err = errors.New("there is no configuration")
	_, s := r.report()
	for _, part := range []string{"status", "doctor"} {
		if text, there := s[part]; there {
			t.Errorf("the part %s is there without a source: %q", part, text)
		}
	}
	if got := s["system"]; got != "wguplink 1.2.3\nthere is no configuration\n" {
		t.Errorf("system: %q", got)
	}
	if got := s["devices"]; got != "none of the uplinks' devices is there\n" {
		t.Errorf("devices: %q", got)
	}
	want := []string{"# ip -4 rule", "(there is no program ip)", "# ip -4 route show table all",
		"(there is no program ip)", "# ip -6 rule", "(there is no program ip)", "# ip -6 route show table all",
		"(there is no program ip)"}
	if diff := cmp.Diff(want, lines(s["rules and routes"])); diff != "" {
		t.Errorf("rules and routes (-want +got):\n%s", diff)
	}
	if got := s["log"]; got != "# logread\n(there is no program logread)\n" {
		t.Errorf("log: %q", got)
	}
}

// The error of the reader of a report is the report's.
func TestWriteFails(t *testing.T) {
	r := newRouter(t)
	reader, writer := io.Pipe()
	reader.CloseWithError(io.ErrShortWrite)
	if err := Write(context.Background(), r.o, writer); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the error is %v", err)
	}
}

// Of a long log and of long lists of routes the last lines are kept, and the number of the others is told.
func TestBounds(t *testing.T) {
	r := newRouter(t)
	var log, routes strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&log, "daemon.info wguplink[7]: line %d\nkernel: noise %d\n", i, i)
		fmt.Fprintf(&routes, "unreachable fd00:%x::/64 dev lo  \n\n", i)
	}
	r.says["logread"], r.says["ip -6 route show table all"] = log.String(), routes.String()
	_, s := r.report()
	got := lines(s["log"])
	if len(got) != 2+mostLog || got[1] != "(700 lines before these are left out)" ||
		!strings.HasSuffix(got[2], "line 700") || !strings.HasSuffix(got[len(got)-1], "line 999") {
		t.Errorf("log: %d lines, from %q to %q", len(got), got[:3], got[len(got)-1])
	}
	got = lines(s["rules and routes"])
	i := slices.Index(got, "# ip -6 route show table all")
	if got = got[i+1:]; len(got) != 1+mostRoutes || got[0] != "(800 lines before these are left out)" ||
		got[mostRoutes] != "unreachable fd00:3e7::/64 dev lo" {
		t.Errorf("routes: %d lines, %q", len(got), got)
	}
}

// Real devices are told with their peers; their secrets are masked in all parts, and public keys are not.
func TestDevices(t *testing.T) {
	ok(t, testns.WireGuard(t)(context.Background(), "wg_mesh", "wguplink mesh"))
	h, err := netlink.NewHandle()
	ok(t, err)
	defer h.Close()
	under, err := h.LinkByName("wg_mesh")
	ok(t, err)
	ok(t, h.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "mesh-vpn"}, VxlanId: 77,
		VtepDevIndex: under.Attrs().Index, Port: 8472}))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName("mesh-vpn"); err == nil {
			_ = h.LinkDel(l)
		}
	})
	wg, err := wireguard.New()
	ok(t, err)
	defer wg.Close()
	own, preshared := key(t), key(t)
	gateway, err := wgtypes.ParseKey(gatewayKey)
	ok(t, err)
	mark, keepalive := 7, 25*time.Second
	ok(t, wg.ConfigureDevice("wg_mesh", wgtypes.Config{PrivateKey: &own, FirewallMark: &mark, ReplacePeers: true,
		Peers: []wgtypes.PeerConfig{{PublicKey: gateway, PresharedKey: &preshared,
			Endpoint: &net.UDPAddr{IP: net.IP{192, 0, 2, 1}, Port: 51820}, PersistentKeepaliveInterval: &keepalive,
			AllowedIPs: []net.IPNet{{IP: net.IP{10, 9, 0, 1}, Mask: net.CIDRMask(32, 32)}}}}}))
	r := newRouter(t)
	fromFile := key(t).String()
	r.put("etc/wguplink/mesh.key", fromFile+"\n")
	r.o.Uplinks = []config.Uplink{{Name: "mesh", Interface: "wg_mesh", Mode: config.ModeVXLAN, FwMark: 7,
		VXLAN: config.VXLAN{Name: "mesh-vpn"}, KeyFile: "/etc/wguplink/mesh.key",
		Gateways: []peerselector.Peer{{Name: "gw", PublicKey: peerselector.Key(gateway),
			Endpoints: []string{"gw.example.org:1", "192.0.2.1:51820", "[2001:db8::1]:51820"}}}}}
	other := key(t).PublicKey().String()
	r.o.Public = []string{other}
	r.o.Status = func(_ context.Context, w io.Writer) {
		fmt.Fprintln(w, own, preshared, fromFile, own.PublicKey(), gatewayKey, other)
	}
	r.says["ip -4 route show table all"] = "default via 192.0.2.9 dev wan\n10.9.0.1 dev wg_mesh proto 119\n" +
		"10.8.0.0/16 dev br-lan\nblackhole 10.0.0.0/8\nfe80::1 nexthop dev\n"
	r.says["ip route get 192.0.2.1 mark 7"] = "192.0.2.1 via 192.0.2.9 dev wan mark 7\n"
	_, s := r.report()
	if want := "*** *** *** " + own.PublicKey().String() + " " + gatewayKey + " " + other + "\n"; s["status"] != want {
		t.Errorf("status: got %q, want %q", s["status"], want)
	}
	devices := s["devices"]
	for _, want := range []string{"\nwg_mesh: ", ", MTU 1420, ", "alias \"wguplink mesh\"",
		"\nmesh-vpn: vxlan, ", "\n  id 77, port 8472, over " + fmt.Sprint(under.Attrs().Index) + ", ",
		"fwmark 0x7, public key " + own.PublicKey().String() + "\n",
		"\n  peer " + gatewayKey + " at 192.0.2.1:51820, no handshake, 0 bytes received, ",
		", keepalive 25s, allowed IPs [{10.9.0.1 ffffffff}]\n"} {
		if !strings.Contains("\n"+devices, want) {
			t.Errorf("no %q in\n%s", want, devices)
		}
	}
	routes := lines(s["rules and routes"])
	i := slices.Index(routes, "# ip -4 route show table all")
	want := []string{"default via 192.0.2.9 dev wan", "10.9.0.1 dev wg_mesh proto 119", "blackhole 10.0.0.0/8",
		"# ip -6 rule"}
	if diff := cmp.Diff(want, routes[i+1:][:len(want)]); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	for _, want := range []string{"ip route get 192.0.2.1 mark 7", "ip route get 2001:db8::1 mark 7"} {
		if !slices.Contains(r.ran, want) {
			t.Errorf("not asked: %s; but %q", want, r.ran)
		}
	}
	if n := len(r.ran); n != 7 { // rules and routes of both families, two addresses, the log
		t.Errorf("%d programs were run: %q", n, r.ran)
	}
}

// The mask learns the secrets that other packages have: key files, places to import a key from, and what a URL holds.
func TestLearn(t *testing.T) {
	r := newRouter(t)
	r.put("etc/config/wguplink", "config uplink 'mesh'\n\toption key_file '/etc/own.key'\n"+
		"\tlist key_import 'old.vpn.word'\n\tlist key_import 'no such place'\n"+
		"\tlist broker 'https://user7:pass77@broker.example.org/api/t0ken-on-the-path?auth=query77'\n")
	r.put("etc/own.key", "in the key file\n")
	r.put("etc/config/old", "config vpn 'vpn'\n\toption word 'from another vpn'\n")
	r.put("etc/config/wireless", "config wifi-iface 'ap'\n\toption key 'Kaffee und Kuchen'\n\toption ssid 'open'\n")
	r.o.Status = func(_ context.Context, w io.Writer) {
		fmt.Fprintln(w,
			"in the key file|from another vpn|user7|pass77|t0ken-on-the-path|query77|Kaffee und Kuchen|open")
	}
	if _, s := r.report(); s["status"] != strings.Repeat("***|", 7)+"open\n" {
		t.Errorf("status: %q", s["status"])
	}
}

func TestInURL(t *testing.T) {
	for url, want := range map[string][]string{
		"https://broker.example.org":                          {""},
		"broker.example.org/api/v1/wg/key/exchange":           {""},
		"https://me@broker.example.org":                       {"me", "", ""},
		"https://me:a@b@broker.example.org/?x=1&y=2":          {"me", "a@b", "1", "2"},
		"http://broker.example.org/0123456789ab/0123456789a/": {"", "0123456789ab"},
	} {
		if diff := cmp.Diff(want, inURL(url)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
}
