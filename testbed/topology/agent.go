package topology

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/peerselector"
	"wguplink/testbed/netlab"
)

// Agent is the program under test on the node, with its configuration.
type Agent struct {
	topo   *Topology
	Binary string // the userspace variant; from vclock.Prepare when the node's clock is not the machine's
	Dir    string // its /etc/config
	As     Service
	jailer []string
	host   *netlab.Host // nil: the topology's node
	*netlab.Process
}

// Service is how Start starts the agent: as the service's start script does.
type Service int

const (
	Jailed Service = iota // where ujail is installed
	Hooked                // where there are hooks: without a jail, in the group
	AsRoot                // where there is neither ujail nor the group
)

// The group of Gluon's VPN, which the start script names.
const (
	groupName = "gluon-mesh-vpn"
	groupID   = 800
)

// jail is what procd's ujail gives the service: feed/wguplink/files/capabilities.json, and the group of the start
// script.
var jail = netlab.Jail{GID: groupID, Capabilities: []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_TIME}}

// UCI makes /etc/config/wguplink from the uplink's options and from further sections.
func UCI(options map[string][]string, more ...string) string {
	var b strings.Builder
	b.WriteString("config uplink 'mesh'\n")
	for _, name := range slices.Sorted(maps.Keys(options)) {
		values := options[name]
		for _, v := range values {
			kind := "option"
			if len(values) > 1 || name == "broker" || name == "ntp_server" || name == "dns" {
				kind = "list"
			}
			fmt.Fprintf(&b, "\t%s %s '%s'\n", kind, name, v)
		}
	}
	for _, m := range more {
		b.WriteString("\n" + m)
	}
	return b.String()
}

// BrokerOptions gives the options of an uplink that registers with the topology's broker by HTTPS.
func (topo *Topology) BrokerOptions() map[string][]string {
	o := topo.baseOptions()
	o["protocol"] = []string{"wgkex"}
	o["broker"] = []string{"https://" + BrokerName}
	o["broker_ca"] = []string{"/etc/config/ca.pem"}
	o["domain"] = []string{Domain}
	return o
}

// StaticOptions gives the options of an uplink without a broker.
func (topo *Topology) StaticOptions() map[string][]string {
	o := topo.baseOptions()
	o["protocol"] = []string{"static"}
	return o
}

func (topo *Topology) baseOptions() map[string][]string {
	o := map[string][]string{
		"vxlan_id":  {fmt.Sprint(VXLANID)},
		"fwmark":    {"1"},
		"ntp_grace": {"5"},
		"backend":   {"auto"},
	}
	for i := range topo.NTP {
		o["ntp_server"] = append(o["ntp_server"], NTPName(i+1))
	}
	if !topo.o.NoV4 {
		o["dns"] = append(o["dns"], ServicesV4.Addr().String())
	}
	if !topo.o.NoV6 {
		o["dns"] = append(o["dns"], ServicesV6.Addr().String())
	}
	return o
}

// Sections gives the `config gateway` sections of all gateways.
func (topo *Topology) Sections() string {
	return topo.sections(func(g *Gateway) string { return g.DNS })
}

// LiteralSections gives them with addresses in place of names.
func (topo *Topology) LiteralSections() string {
	return topo.sections(func(g *Gateway) string { return g.V4.String() })
}

func (topo *Topology) sections(host func(*Gateway) string) string {
	var b strings.Builder
	for _, g := range topo.Gateways {
		fmt.Fprintf(&b,
			"config gateway '%s'\n\toption uplink 'mesh'\n\toption public_key '%s'\n\tlist endpoint "+
				"'%s:%d'\n\toption link_address '%s'\n\n",
			g.Name, g.PublicKey(), host(g), gatewayPort, g.Link)
	}
	return b.String()
}

// NewAgent makes the node's configuration folder below dir, with uci as its wguplink file. Start starts it.
func (topo *Topology) NewAgent(binary, dir, uci string) (*Agent, error) {
	a := &Agent{topo: topo, Binary: binary, Dir: filepath.Join(dir, "config")}
	if err := os.MkdirAll(a.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the node's configuration: %w", err)
	}
	ca, err := os.ReadFile(topo.CAFile)
	if err != nil {
		return nil, fmt.Errorf("make the node's configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(a.Dir, "ca.pem"), ca, 0o644); err != nil {
		return nil, fmt.Errorf("make the node's configuration: %w", err)
	}
	return a, a.Configure(uci)
}

// Configure writes the node's wguplink file.
func (a *Agent) Configure(uci string) error {
	if err := os.WriteFile(filepath.Join(a.Dir, "wguplink"), []byte(uci), 0o600); err != nil {
		return fmt.Errorf("make the node's configuration: %w", err)
	}
	return nil
}

// Start starts the agent and the timeline.
func (a *Agent) Start() error {
	a.topo.timeline.Start(time.Now())
	c := netlab.Command{Path: a.Binary, Args: []string{"run", "--stderr", "--group", groupName},
		Config: a.Dir, Jail: &jail}
	switch a.As {
	case Jailed:
		// ujail is the agent's parent, and a process of its own.
		c.Args = append(c.Args, "--end-with-parent")
		c.Under = a.jailer
	case Hooked:
		c.Jail = nil
	case AsRoot:
		c.Args, c.Jail = []string{"run", "--stderr"}, nil
	}
	p, err := a.on().Start(c)
	if err != nil {
		return err
	}
	a.Process = p
	return nil
}

// Jailer has Start start a shell as ujail's stand-in, which starts the agent and waits for it. The Process is the
// shell's then.
func (a *Agent) Jailer() { a.jailer = []string{"/bin/sh", "-c", `"$@" & wait $!`, "ujail"} }

// TakeDown stops the agent as for good: with SIGTERM, and then with the command that removes what it has left.
func (a *Agent) TakeDown(ctx context.Context) error {
	if err := a.Stop(ctx); err != nil {
		return err
	}
	out, code, err := a.Run(ctx, "down")
	if err == nil && code != 0 {
		err = fmt.Errorf("wguplink down: exit code %d: %s", code, out)
	}
	return err
}

// Run runs another command of the program on the node, and gives its output and exit code.
func (a *Agent) Run(ctx context.Context, args ...string) (out string, code int, err error) {
	p, err := a.on().Start(netlab.Command{Path: a.Binary, Args: args, Config: a.Dir})
	if err != nil {
		return "", 0, err
	}
	p.Wait(ctx)
	if p.State() == nil {
		return "", 0, fmt.Errorf("wguplink %s did not end: %w", strings.Join(args, " "), context.Cause(ctx))
	}
	return strings.Join(p.Lines(), "\n"), p.State().ExitCode(), nil
}

// Key is the node's public key; ok is false while it has none.
func (a *Agent) Key(ctx context.Context) (k peerselector.Key, ok bool) {
	out, code, err := a.Run(ctx, "key", "show")
	if err != nil || code != 0 || k.UnmarshalText([]byte(strings.TrimSpace(out))) != nil {
		return k, false
	}
	return k, true
}

// AwaitHandshake waits until any gateway has shaken hands with the node, and gives its name. It looks every few
// milliseconds: WireGuard has no event for it.
func (topo *Topology) AwaitHandshake(ctx context.Context) (string, time.Time, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, g := range topo.Gateways {
			stats, err := g.Stats()
			if err != nil {
				continue // it is down
			}
			for _, s := range stats {
				if !s.LastHandshake.IsZero() {
					return g.Name, time.Now(), nil
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", time.Time{}, fmt.Errorf("no handshake at any gateway: %w", context.Cause(ctx))
		}
	}
}
