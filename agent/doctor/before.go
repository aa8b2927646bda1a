package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/httpc"
	"wguplink/agent/network"
)

// config looks at what was loaded, and whether an agent runs.
func (x *exam) config(context.Context) Finding {
	if x.o.ConfigErr != nil {
		return fail(oneLine(x.o.ConfigErr), "correct it; `wguplink config check` lists every problem")
	}
	if !x.cfg.Enabled {
		return fail("option enabled is off: the agent leaves this uplink alone",
			"option enabled '1' in the section "+x.cfg.Name)
	}
	says := fmt.Sprintf("uplink %s, protocol %s, %s, mode %s", x.cfg.Name, x.cfg.Protocol,
		count(len(x.cfg.Gateways), "static gateway"), x.cfg.Mode)
	if x.agent = x.running(); !x.agent {
		return pass(says + "; no agent runs it")
	}
	// Without the file the agent has only just started; what it would say is looked for in the kernel.
	x.says, _ = x.snapshot()
	return pass(says + "; an agent runs it, and is left alone")
}

// wan asks the kernel for the way out.
func (x *exam) wan(context.Context) Finding {
	if f, skipped := x.needs(Config); skipped {
		return f
	}
	to := network.Destinations(x.cfg, x.cfg.Gateways, nil)
	if g := x.says.Gateway; g != nil { // the agent has found it
		if at, err := netip.ParseAddrPort(g.Endpoint); err == nil {
			to.Gateways = append([]netip.AddrPort{at}, to.Gateways...)
		}
	}
	x.to.Set(to)
	s, err := x.wanState()
	if err != nil {
		return fail("the routes cannot be read: "+oneLine(err), "run it as root")
	}
	x.way = s
	tables := x.tables()
	switch {
	case !s.Up() && s.Mesh:
		return fail(s.String(),
			"the WAN needs routes that come before those of the mesh: a table of its own and a rule for "+
				"option fwmark; "+tables)
	case !s.Up():
		return fail(s.String(), "is the cable in, and does the WAN get an address? "+tables)
	case x.cfg.AddressFamily == config.Only6 && !s.V6, x.cfg.AddressFamily == config.Only4 && !s.V4:
		return fail(fmt.Sprintf("option address_family is %s, and the WAN has only %s", x.cfg.AddressFamily, s),
			"option address_family 'auto'; or "+tables)
	}
	return pass(s.String())
}

func (x *exam) tables() string {
	return fmt.Sprintf(
		"look at `ip rule`, `ip -6 rule`, the tables that they name, and at what `ip route get ADDRESS mark %#x` "+
			"says; option fwmark is %d", x.cfg.FwMark, x.cfg.FwMark)
}

// clock asks who vouches for the time. That no server does is no failure as long as the clock can be right.
func (x *exam) clock(ctx context.Context) Finding {
	if f, skipped := x.needs(Config); skipped {
		return f
	}
	const remedy = "let UDP port 123 out, and name servers that answer in `list ntp_server`"
	res, err := x.checkClock(ctx)
	now := x.o.System.Now()
	why := refusals(res)
	switch {
	case err == nil && res.Source == clock.FromKernel:
		return pass("synchronised, says the kernel")
	case err == nil && res.Source == clock.FromNTP && res.Offset.Abs() > clock.StepThreshold:
		return fail(fmt.Sprintf("the clock is off by %s, NTP says %s (%s)", round(res.Offset.Abs()),
			stamp(now.Add(res.Offset)), res.Server),
			"start the agent, which sets it; or enable an NTP client")
	case err == nil && res.Source == clock.FromNTP:
		return pass(fmt.Sprintf("right within %s, says %s", res.Offset.Abs().Round(time.Millisecond), res.Server))
	}
	if wrong := x.plausible(now); wrong != nil {
		f := fail(fmt.Sprintf("the clock is wrong, it says %s, which is %s, and no time server is believed", stamp(now),
			oneLine(wrong)), remedy)
		if now.Before(res.Floor) {
			f.Cause = fmt.Sprintf("the clock is off by %s or more, it says %s, and no time server is believed",
				round(res.Floor.Sub(now)), stamp(now))
		}
		f.Detail = why
		return f
	}
	if x.outcome[WAN] != OK {
		x.blocked = true
		return skip("needs wan: no server can be asked for the time")
	}
	return warn(fmt.Sprintf("no time source confirms the clock, which says %s", stamp(now)),
		"if that is right, nothing; else "+remedy, why)
}

func refusals(res clock.Result) string {
	var all []string
	for _, r := range res.Refused {
		all = append(all, r.String())
	}
	return strings.Join(all, "; ")
}

// key looks whether there is one. It makes none: the doctor leaves nothing behind.
func (x *exam) key(context.Context) Finding {
	if f, skipped := x.needs(Config); skipped {
		return f
	}
	public, err := x.o.PublicKey(x.cfg)
	if errors.Is(err, os.ErrNotExist) && x.agent && x.says.PublicKey != "" {
		return fail(fmt.Sprintf("the agent's key %s is in memory alone: it could not be stored", x.says.PublicKey),
			"make room on the disk, or make it writable: the agent stores the key within half a minute")
	}
	if errors.Is(err, os.ErrNotExist) {
		return fail("there is no key yet", "start the agent: it makes one, and keeps it")
	}
	if err == nil {
		x.ident, err = x.o.LoadKey(x.cfg)
	}
	if err != nil {
		return fail(oneLine(err), remedyKey)
	}
	if x.agent && x.says.PublicKey != "" && x.says.PublicKey != public.String() {
		return fail(fmt.Sprintf("the stored key %s is another one than the agent uses, %s", public, x.says.PublicKey),
			"let the agent read its configuration again: send it SIGHUP")
	}
	return pass(fmt.Sprintf("%s, from %s", public, x.ident.Origin))
}

// namesTimeout bounds one look-up; all run side by side.
const namesTimeout = 6 * time.Second

// names looks up the brokers and the static gateways. One of several that cannot be found is no failure: the others do.
func (x *exam) names(ctx context.Context) Finding {
	if f, skipped := x.needs(WAN); skipped {
		return f
	}
	var brokers, gateways []string
	if x.cfg.Protocol.Registers() {
		for _, b := range x.cfg.Brokers {
			brokers = append(brokers, b.Hostname())
		}
	}
	for _, g := range x.cfg.Gateways {
		for _, e := range g.Endpoints {
			if host, _, err := net.SplitHostPort(e); err == nil {
				gateways = append(gateways, host)
			}
		}
	}
	errs := x.lookUp(ctx, slices.Concat(brokers, gateways))
	var bad []string
	found := 0
	for host, err := range errs {
		if err != nil {
			bad = append(bad, fmt.Sprintf("name %s is not resolvable through the WAN: %s", host, oneLine(err)))
		} else if _, err := netip.ParseAddr(host); err != nil {
			found++ // not an address to begin with
		}
	}
	slices.Sort(bad)
	what := strings.Join(bad, "; ")
	useless := func(group []string) bool {
		return len(group) > 0 && !slices.ContainsFunc(group, func(host string) bool { return errs[host] == nil })
	}
	switch {
	case useless(brokers), useless(gateways):
		return fail(what, "are the names right, and the name servers? "+x.asked())
	case len(bad) > 0:
		return pass(count(found, "name") + " found; but " + what)
	case found == 0:
		return pass("none to look up")
	}
	return pass(count(found, "name") + " found")
}

// asked says which name servers are asked.
func (x *exam) asked() string {
	if len(x.cfg.DNSServers) == 0 {
		return "those of /etc/resolv.conf were asked; `list dns` names others, as '127.0.0.1:54' on Gluon"
	}
	var all []string
	for _, s := range x.cfg.DNSServers {
		all = append(all, s.String())
	}
	return "`list dns` has " + strings.Join(all, ", ")
}

// lookUp resolves all hosts at once, and gives an entry for each, nil where there is an address.
func (x *exam) lookUp(ctx context.Context, hosts []string) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	wg.Add(len(hosts))
	for i, h := range hosts {
		go func() {
			defer wg.Done()
			_, errs[i] = x.resolve(ctx, h)
		}()
	}
	wg.Wait()
	out := map[string]error{}
	for i, h := range hosts {
		out[h] = errs[i]
	}
	return out
}

// broker registers the key, as the agent does at each start.
func (x *exam) broker(ctx context.Context) Finding {
	if f, skipped := x.needs(Config); skipped {
		return f
	}
	if !x.cfg.Protocol.Registers() {
		return skip("protocol " + x.cfg.Protocol.String() + " has none")
	}
	if f, skipped := x.needs(WAN, Key); skipped {
		return f
	}
	if x.o.NewRegistrar == nil {
		return fail("this build has no broker support", "option protocol 'static', or install the package with brokers")
	}
	r, err := x.o.NewRegistrar(x.cfg, x.path(), x.linkAddress(false))
	if err != nil {
		return fail(oneLine(err), "correct the broker options; `wguplink config check` helps")
	}
	// The client's own timeout counts for each broker, one after the other.
	x.answer, err = r.Register(ctx, [32]byte(x.ident.Public))
	if err != nil {
		return x.refused(err)
	}
	x.reached = true
	if n := x.answer.Network; n != nil {
		for _, c := range n.Concentrators {
			x.answer.Peers = append(x.answer.Peers, c.Peer)
		}
	}
	detail := fmt.Sprintf("%s (%s) took the key and names %s", x.answer.Broker, x.answer.API,
		count(len(x.answer.Peers), "gateway"))
	if x.answer.Fallback != nil {
		detail += "; at first " + oneLine(x.answer.Fallback)
	}
	if x.answer.Known != "" {
		detail += fmt.Sprintf(
			"; it says %q, which is right for a node that was registered before; if no gateway answers, "+
				"another node has that entry: set option node_name", x.answer.Known)
	}
	if len(x.answer.Peers) == 0 && len(x.cfg.Gateways) == 0 {
		f := fail("the broker took the key, but names no gateway, and there is none in the configuration",
			"add sections `config gateway`, or ask the operators")
		f.Detail = detail
		return f
	}
	return pass(detail)
}

// refused tells the kinds of failure apart.
func (x *exam) refused(err error) Finding {
	var e *broker.Error
	var cert *httpc.CertificateError
	var moved *broker.RedirectError
	if !errors.As(err, &e) {
		return fail("no broker: "+oneLine(err), "look at `list broker`")
	}
	says := oneLine(e.Err)
	switch {
	case e.Kind == broker.NotRegistered:
		x.reached = true
		return fail(fmt.Sprintf("%s: %s", e.Broker, says), "wait that long; if it goes on, ask the operators for "+
			x.ident.Public.String())
	case e.Kind == broker.Refused && x.cfg.Protocol == config.FFAC:
		x.reached = true
		return fail(fmt.Sprintf("registration %s says no: %s", e.Broker, says),
			"is option node_name right, if it is set? if so, tell the operators what the server says, and the key "+
				x.ident.Public.String())
	case e.Kind == broker.Refused:
		x.reached = true
		return fail(fmt.Sprintf("broker %s says no: %s", e.Broker, says),
			"is option domain '"+x.cfg.Domain+"' right? if so, tell the operators what the broker says")
	case errors.As(err, &moved) && moved.Moved:
		x.reached = true
		return fail(fmt.Sprintf("broker %s has moved: %s", e.Broker, says),
			"put its new URL into `list broker`: "+moved.To)
	case e.Kind == broker.Malformed:
		x.reached = true
		return fail(fmt.Sprintf("broker %s gives an answer that makes no sense: %s", e.Broker, says),
			"is this the URL of a broker? look at `list broker`")
	case errors.As(err, &cert):
		return fail(fmt.Sprintf("broker %s: its certificate is not accepted: %s", e.Broker, says),
			"is the clock right? is the package ca-bundle installed? look at options broker_ca and broker_pin")
	}
	return fail(fmt.Sprintf("broker %s is unreachable: %s", e.Broker, says),
		"is the URL in `list broker` right, and TCP to it let out? if so, ask the operators")
}
