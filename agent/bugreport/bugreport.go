//go:build !nobroker

package bugreport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/mask"
	"wguplink/agent/netlink"
	"wguplink/agent/uci"
	"wguplink/agent/wireguard"
)

// Options are what a report is made of.
type Options struct {
	Version        string // one line
	Config, Staged string // UCI's folders
	Root           string // of the file system; "" on a router
	Uplinks        []config.Uplink
	Err            error    // why there are no Uplinks
	Public         []string // keys that may be shown, beside those of the configuration and of the devices
	// Status and Doctor write their parts; Doctor may take a minute.
	Status, Doctor func(context.Context, io.Writer)
	// Run runs a program and gives what it prints.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
	Now time.Time
}

// Write writes the report.
func Write(ctx context.Context, o Options, w io.Writer) error {
	r := report{o: o}
	r.learn()
	r.system()
	r.configuration()
	if o.Status != nil {
		r.section("status")
		o.Status(ctx, &r.out)
	}
	r.devices()
	r.routes(ctx)
	if o.Doctor != nil {
		r.section("doctor")
		o.Doctor(ctx, &r.out)
	}
	r.log(ctx)
	_, err := io.WriteString(w, r.mask.Text(r.out.String()))
	return err
}

// report is one in the making.
type report struct {
	o    Options
	out  bytes.Buffer
	mask mask.Masker
}

func (r *report) section(name string) { fmt.Fprintf(&r.out, "\n== %s\n", name) }

func (r *report) line(format string, args ...any) { fmt.Fprintf(&r.out, format+"\n", args...) }

// read gives a file of the system; "" where there is none.
func (r *report) read(path string) string {
	b, err := os.ReadFile(filepath.Join(r.o.Root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (r *report) system() {
	r.line("wguplink bugreport, %s", r.o.Now.Format("2006-01-02 15:04:05 -0700"))
	r.line("Secrets are masked as %s. Names, addresses and public keys are not: read it before you hand it over.",
		mask.Blot)
	r.section("system")
	r.line("%s", r.o.Version)
	for _, f := range []string{"/tmp/sysinfo/model", "/lib/gluon/release", "/proc/version",
		"/proc/uptime", "/proc/loadavg"} {
		if s := r.read(f); s != "" {
			r.line("%s: %s", f, s)
		}
	}
	for _, f := range []string{"/etc/openwrt_release", "/proc/meminfo"} {
		for _, l := range strings.Split(r.read(f), "\n") {
			if name, _, _ := strings.Cut(l, ":"); slices.Contains([]string{"MemTotal", "MemFree", "MemAvailable"},
				name) ||
				strings.HasPrefix(l, "DISTRIB_RELEASE") || strings.HasPrefix(l, "DISTRIB_TARGET") ||
				strings.HasPrefix(l, "DISTRIB_DESCRIPTION") {
				r.line("%s", l)
			}
		}
	}
}

// configuration writes the packages that are ours, with the values of known options only: a secret may stand under a
// misspelt name.
func (r *report) configuration() {
	for _, name := range []string{config.Package, "wgpeerselector"} {
		tree := uci.NewTree(r.o.Config, r.o.Staged)
		err := tree.LoadConfig(name, true)
		if os.IsNotExist(err) {
			continue
		}
		r.section("configuration " + filepath.Join(r.o.Config, name))
		if err != nil {
			r.line("it cannot be read: %v", err)
			continue
		}
		sections, _ := tree.GetSections(name, "")
		for _, s := range sections {
			typ, _ := tree.SectionType(name, s)
			r.line("config %s '%s'", typ, s)
			for _, option := range tree.Options(name, s) {
				values, _ := tree.Get(name, s, option)
				for _, v := range values {
					if mask.Names(option) || name == config.Package && !config.HasOption(typ, option) {
						v = mask.Blot
					}
					r.line("\toption %s '%s'", option, v)
				}
			}
		}
	}
	if r.o.Err != nil {
		r.line("%v", r.o.Err)
	}
}

// names are the devices of the uplinks, as far as they are there.
func (r *report) names() (names []string) {
	all, _ := net.Interfaces()
	for _, i := range all {
		for _, u := range r.o.Uplinks {
			if u.Carries(i.Name) && !slices.Contains(names, i.Name) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

func (r *report) devices() {
	r.section("devices")
	names := r.names()
	if len(names) == 0 {
		r.line("none of the uplinks' devices is there")
	}
	wg, err := wireguard.New()
	if err != nil {
		r.line("WireGuard cannot be asked: %v", err)
	} else {
		defer wg.Close()
	}
	for _, name := range names {
		l, err := netlink.LinkByName(name)
		if err != nil {
			continue
		}
		a := l.Attrs()
		r.line("%s: %s, MTU %d, flags %#x, master %d, alias %q, index %d", name, l.Type(), a.MTU, a.RawFlags,
			a.MasterIndex, a.Alias, a.Index)
		if v, ok := l.(*netlink.Vxlan); ok {
			r.line("  id %d, port %d, over %d, from %v, remote %v, learning %v, zero checksum tx %v rx %v", v.VxlanId,
				v.Port, v.VtepDevIndex, v.SrcAddr,
				v.Group, v.Learning, v.UDP6ZeroCSumTx, v.UDP6ZeroCSumRx)
		}
		if i, err := net.InterfaceByName(name); err == nil {
			addrs, _ := i.Addrs()
			r.line("  addresses %v", addrs)
		}
		if wg == nil {
			continue
		}
		d, err := wg.Device(name)
		if err != nil {
			continue
		}
		r.line("  WireGuard %v, port %d, fwmark %#x, public key %s", d.Type, d.ListenPort, d.FirewallMark, d.PublicKey)
		for _, p := range d.Peers {
			shaken := "no handshake"
			if !p.LastHandshakeTime.IsZero() {
				shaken = "handshake " + r.o.Now.Sub(p.LastHandshakeTime).Round(time.Second).String() + " ago"
			}
			r.line("  peer %s at %v, %s, %d bytes received, %d sent, keepalive %v, allowed IPs %v", p.PublicKey,
				p.Endpoint, shaken,
				p.ReceiveBytes, p.TransmitBytes, p.PersistentKeepaliveInterval, p.AllowedIPs)
		}
	}
}
