package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Each row is one cause. The findings of the stages not named pass, but for those that need the one that fails.
func TestCauses(t *testing.T) {
	other := func(b *bed) { b.derived = b.linkAddress(true) }
	unverified := func(b *bed) {
		b.time = clock.Result{Source: clock.Unverified,
			Refused: []clock.Refusal{{From: "ntp.example.org", Reason: "no answer"}}}
	}
	for _, tt := range []struct {
		name    string
		change  func(b *bed)
		failed  Stage // "" for none
		warned  Stage // the same
		passed  Stage // whose detail is meant, where nothing fails
		detail  string
		cause   string
		remedy  string
		skipped string // all stages that are, in order
	}{
		{name: "all is well", change: func(*bed) {}, passed: Broker,
			detail: "https://broker.example.org (v2) took the key and names 1 gateway"},
		{name: "all is well, at the first glance", change: func(*bed) {}, passed: Config,
			detail: "uplink mesh, protocol wgkex, 1 static gateway, mode vxlan; no agent runs it"},

		{name: "broken configuration",
			change: func(b *bed) { b.o.ConfigErr = errors.New("section mesh:\noption mtu \"9\"") },
			failed: Config, cause: `section mesh: option mtu "9"`, remedy: "config check",
			skipped: "wan clock key names broker device handshake tunnel mtu"},
		{name: "disabled", change: func(b *bed) { b.cfg.Enabled = false },
			failed: Config, cause: "enabled is off", remedy: "option enabled '1'",
			skipped: "wan clock key names broker device handshake tunnel mtu"},

		{name: "no WAN route", change: func(b *bed) {
			b.state = wan.State{Why4: "to 192.0.2.1: network is unreachable", Why6: "is not used by any gateway"}
		},
			failed: WAN, cause: "no WAN route: IPv4 to 192.0.2.1: network is unreachable; IPv6 is not",
			remedy: "ip route get ADDRESS mark 0x1", skipped: "names broker handshake tunnel mtu"},
		{name: "the mesh before the WAN", change: func(
			b *bed) {
			b.state = wan.State{Why4: "to 192.0.2.1 leads into our own mesh, by bat0", Mesh: true}
		},
			failed: WAN, cause: "leads into our own mesh, by bat0", remedy: "a table of its own",
			skipped: "names broker handshake tunnel mtu"},
		{name: "no WAN route of the family wanted",
			change: func(b *bed) { b.state.V6, b.state.Dev6, b.cfg.AddressFamily = false, "", config.Only6 },
			failed: WAN, cause: "address_family is only6, and the WAN has only IPv4 by eth0",
			remedy: "address_family 'auto'", skipped: "names broker handshake tunnel mtu"},
		{name: "routes cannot be read", change: func(b *bed) {
			b.wanState = func() (wan.State, error) { return wan.State{}, errors.New("open netlink: no") }
		}, failed: WAN, cause: "open netlink: no", remedy: "root", skipped: "names broker handshake tunnel mtu"},

		{name: "clock off, says NTP", change: func(b *bed) {
			b.time = clock.Result{Source: clock.FromNTP, Server: "ntp.example.org", Offset: -90 * time.Minute}
		}, failed: Clock, cause: "off by 1h30m0s, NTP says 2026-05-01 10:30:00 UTC (ntp.example.org)",
			remedy: "start the agent"},
		{name: "clock right, says NTP", change: func(b *bed) {
			b.time = clock.Result{Source: clock.FromNTP, Server: "ntp.example.org", Offset: 20 * time.Millisecond}
		}, passed: Clock, detail: "right within 20ms, says ntp.example.org"},
		{name: "clock off and no NTP", change: func(b *bed) {
			b.time = clock.Result{Source: clock.Unverified, Floor: today.AddDate(1, 0, 0),
				Refused: []clock.Refusal{{From: "ntp.example.org", Reason: "no answer"}}}
		}, failed: Clock, detail: "ntp.example.org: no answer",
			cause:  "off by 364 days or more, it says 2026-05-01 12:00:00 UTC, and no time server is believed",
			remedy: "UDP port 123"},
		{name: "clock in 2063 and no NTP", change: func(b *bed) {
			b.time = clock.Result{Source: clock.Unverified, Floor: today}
			b.system.Step(time.Date(2063, 1, 1, 0, 0, 0, 0, time.UTC))
		}, failed: Clock, cause: "the clock is wrong, it says 2063-01-01 00:00:0", remedy: "UDP port 123"},
		{name: "clock not verified", change: unverified, warned: Clock,
			cause:  "no time source confirms the clock, which says 2026-05-01 12:00:00 UTC",
			detail: "ntp.example.org: no answer", remedy: "ntp_server"},
		{name: "clock not verified, beside an agent", change: func(b *bed) { unverified(b); b.withAgent() },
			warned: Clock, cause: "no time source confirms the clock", remedy: "ntp_server"},
		{name: "clock not verified, and no server answers",
			change: func(b *bed) { unverified(b); b.kernel.shakes, b.cfg.Protocol = nil, config.Static },
			failed: Handshake, cause: "and if the clock is wrong",
			remedy: "is it now 2026-05-01 12:00:00 UTC? ask the operators whether the gateways know " +
				wgtypes.Key{1}.PublicKey().String(),
			skipped: "broker tunnel mtu"},
		{name: "clock wrong, and no server answers", change: func(b *bed) {
			b.time = clock.Result{Source: clock.FromNTP, Server: "ntp.example.org", Offset: -time.Hour}
			b.kernel.shakes = nil
		}, failed: Clock, cause: "off by 1h0m0s", skipped: "tunnel mtu"},
		{name: "clock not verified for want of a WAN",
			change: func(b *bed) { b.state, b.time = wan.State{}, clock.Result{Source: clock.Unverified} },
			failed: WAN, cause: "no WAN route", skipped: "clock names broker handshake tunnel mtu"},

		{name: "no key yet", change: func(b *bed) { b.key = wgtypes.Key{} },
			failed: Key, cause: "no key yet", remedy: "start the agent", skipped: "broker handshake tunnel mtu"},
		{name: "a broken key", change: func(b *bed) {
			b.o.PublicKey = func(config.Uplink) (wgtypes.Key, error) { return wgtypes.Key{}, identity.ErrMalformed }
		}, failed: Key, cause: "malformed private key", remedy: "good key", skipped: "broker handshake tunnel mtu"},
		{name: "another key than the agent's", change: func(b *bed) { b.withAgent(); b.snap.PublicKey = "old=" },
			failed: Key, cause: "another one than the agent uses, old=", remedy: "SIGHUP",
			skipped: "broker handshake tunnel mtu"},

		{name: "the broker's name", change: func(b *bed) {
			delete(b.names,
				"broker.example.org")
			b.broker.err = errors.New("no name")
		},
			failed: Names,
			cause: "name broker.example.org is not resolvable through the WAN: lookup broker.example.org on " +
				"127.0.0.1:54: no such host", remedy: "/etc/resolv.conf"},
		{name: "no gateway's name", change: func(b *bed) {
			delete(b.names, "gw1.example.org")
			b.cfg.DNSServers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:54")}
		}, failed: Names, cause: "gw1.example.org is not resolvable", remedy: "`list dns` has 127.0.0.1:54"},
		{name: "one of two gateways' names",
			change: func(b *bed) { b.cfg.Gateways = []peerselector.Peer{gateway(1), gateway(9)} },
			passed: Names, detail: "2 names found; but name gw9.example.org is not resolvable"},
		{name: "the second broker answers",
			change: func(b *bed) { b.broker.answer.Fallback = errors.New("broker https://a: unreachable") },
			passed: Broker, detail: "at first broker https://a: unreachable"},
		{name: "a leftover of an agent", change: func(b *bed) { b.links["wg_mesh"] = 1420 }, passed: Device,
			detail: "wg_mesh is there without an agent"},

		{name: "the broker says no", change: func(b *bed) {
			b.broker = registrar{err: &broker.Error{Kind: broker.Refused, Broker: "https://b",
				Err: errors.New("Domain not in configuration")}, asked: &b.asked}
		}, failed: Broker, cause: "broker https://b says no: Domain not in configuration",
			remedy: "option domain 'ffxx_city'"},
		{name: "the broker is unreachable", change: func(b *bed) {
			b.broker = registrar{err: &broker.Error{Kind: broker.Unreachable, Broker: "https://b",
				Err: errors.New("connection refused")}, asked: &b.asked}
		}, failed: Broker, cause: "broker https://b is unreachable: connection refused", remedy: "list broker"},
		{name: "the broker talks nonsense", change: func(b *bed) {
			b.broker = registrar{err: &broker.Error{Kind: broker.Malformed, Broker: "https://b",
				Err: errors.New("not JSON")}, asked: &b.asked}
		}, failed: Broker, cause: "makes no sense: not JSON", remedy: "URL of a broker"},
		{name: "the registration says no", change: func(b *bed) {
			b.cfg.Protocol = config.FFAC
			b.broker = registrar{err: &broker.Error{Kind: broker.Refused, Broker: "https://b",
				Err: &broker.SaidError{Status: "status 200 OK", Text: "Error adding key: no"}}, asked: &b.asked}
		}, failed: Broker, cause: `registration https://b says no: status 200 OK: "Error adding key: no"`,
			remedy: "option node_name"},
		{name: "the registration knows the name", change: func(b *bed) {
			b.cfg.Protocol = config.FFAC
			b.broker.answer.Known = "Error adding key: node_abcd already exists"
		}, passed: Broker, detail: "another node has that entry: set option node_name"},
		{name: "the broker has moved", change: func(b *bed) {
			b.broker = registrar{err: &broker.Error{Kind: broker.Malformed, Broker: "http://b",
				Err: &broker.RedirectError{
					Status: 301, To: "https://b/api", Moved: true, Why: "only http://b is followed",
				}}, asked: &b.asked}
		}, failed: Broker, cause: "broker http://b has moved: status 301", remedy: "`list broker`: https://b/api"},
		{name: "no broker at all", change: func(b *bed) {
			b.o.NewRegistrar = func(config.Uplink, wan.Path, netip.Addr) (Registrar, error) {
				return nil, errors.New("broker: bad URL")
			}
		}, failed: Broker, cause: "broker: bad URL", remedy: "config check"},
		{name: "a build without brokers", change: func(b *bed) { b.o.NewRegistrar = nil }, failed: Broker,
			cause: "no broker support", remedy: "static"},
		{name: "no gateway to connect to", change: func(b *bed) { b.broker.answer.Peers, b.cfg.Gateways = nil, nil },
			failed: Broker, cause: "names no gateway", remedy: "config gateway", skipped: "handshake tunnel mtu"},
		{name: "no broker and no static gateway", change: func(b *bed) {
			b.broker, b.cfg.Gateways = registrar{err: errors.New("no"), asked: &b.asked}, nil
		}, failed: Broker, cause: "no", skipped: "handshake tunnel mtu"},
		{name: "static gateways need no broker", change: func(b *bed) { b.cfg.Protocol = config.Static },
			skipped: "broker"},

		{name: "no WireGuard", change: func(b *bed) {
			b.kernel.applyErr = wrap("create wgdoctor",
				tunnel.ErrNoWireGuard)
		},
			failed: Device, cause: "WireGuard is missing in the kernel", remedy: "kmod-wireguard",
			skipped: "handshake tunnel mtu"},
		{name: "no VXLAN", change: func(b *bed) { b.kernel.applyErr = wrap("create VXLAN x", tunnel.ErrNoVXLAN) },
			failed: Device, cause: "VXLAN is missing in the kernel", remedy: "kmod-vxlan",
			skipped: "handshake tunnel mtu"},
		{name: "a device in the way",
			change: func(b *bed) { b.kernel.applyErr = errors.New("wgdoctor exists and is a dummy") },
			failed: Device, cause: "wgdoctor exists", remedy: "ip -d link", skipped: "handshake tunnel mtu"},
		{name: "no userspace WireGuard", change: func(b *bed) {
			b.kernel.applyErr = wrap("create wg",
				tunnel.ErrNoUserspace)
		},
			failed: Device, cause: "option backend is userspace", remedy: "option backend 'kernel'",
			skipped: "handshake tunnel mtu"},
		{name: "not root", change: func(b *bed) { b.kernel.applyErr = wrap("create", unix.EPERM) },
			failed: Device, cause: "not permitted", remedy: "as root", skipped: "handshake tunnel mtu"},
		{name: "words alone mean nothing", change: func(b *bed) {
			b.kernel.applyErr = errors.New(
				"the kernel has no VXLAN, install kmod-vxlan; no userspace WireGuard; operation not permitted; " +
					"address already in use")
		}, failed: Device, cause: "the kernel has no VXLAN, install kmod-vxlan; no userspace",
			remedy: "see to what the message names", skipped: "handshake tunnel mtu"},
		{name: "the VXLAN port is taken", change: func(b *bed) {
			b.kernel.applyErr = &tunnel.PortError{Device: "wgdoctor-vx", Port: 8472,
				Err: wrap("bring wgdoctor-vx up", unix.EADDRINUSE)}
		}, failed: Device, cause: "UDP port 8472 of wgdoctor-vx is taken by another program or device",
			remedy: "`netstat -lunp` names programs", skipped: "handshake tunnel mtu"},
		{name: "another doctor", change: func(b *bed) {
			unlock, err := lock(b.o.RunDir)
			if err != nil {
				panic(err)
			}
			b.after = unlock
		}, failed: Device, cause: "another wguplink doctor is at work", remedy: "wait",
			skipped: "handshake tunnel mtu"},
		{name: "no place for the lock", change: func(b *bed) { b.o.RunDir = "/dev/null/run" },
			failed: Device, cause: "make the run directory", remedy: "root", skipped: "handshake tunnel mtu"},
		{name: "no netlink", change: func(b *bed) {
			b.open = func() (kernel, error) {
				return nil,
					errors.New("open netlink: no")
			}
		},
			failed: Device, cause: "open netlink: no", remedy: "root", skipped: "handshake tunnel mtu"},
		{name: "the agent's device is gone",
			change: func(b *bed) { b.withAgent(); b.kernel.statErr = errors.New("no such device") },
			failed: Device, cause: "no WireGuard device wg_mesh: no such device", remedy: "agent's log",
			skipped: "handshake tunnel mtu"},
		{name: "the agent cannot make its device", change: func(b *bed) {
			b.withAgent()
			b.kernel.statErr = errors.New("no such device")
			b.snap.Cause, b.snap.Reason, b.snap.Fault = status.Device, "create wg_mesh: no WireGuard",
				string(tunnel.NoWireGuard)
		}, failed: Device, cause: "WireGuard is missing", remedy: "kmod-wireguard", skipped: "handshake tunnel mtu"},
		{name: "the agent's VXLAN port is taken", change: func(b *bed) {
			b.withAgent()
			b.snap.Cause, b.snap.Reason, b.snap.Fault = status.Device,
				"UDP port 8472 of mesh-vpn is taken by another program or device: bring\nmesh-vpn up",
				string(tunnel.PortTaken)
		}, failed: Device,
			cause: "the agent says: UDP port 8472 of mesh-vpn is taken by another program or device: bring " +
				"mesh-vpn up",
			remedy:  "`netstat -lunp` names programs",
			skipped: "handshake tunnel mtu"},
		{name: "the agent's status is of an older program",
			change: func(b *bed) { b.withAgent(); b.snap.Cause, b.snap.Reason = status.Device, "some reason" },
			failed: Device, cause: "the agent says: some reason", remedy: "see to what",
			skipped: "handshake tunnel mtu"},
		{name: "the agent's VXLAN is gone", change: func(b *bed) { b.withAgent(); delete(b.links, "mesh-vpn") },
			failed: Device, cause: "no VXLAN device mesh-vpn", remedy: "agent's log", skipped: "handshake tunnel mtu"},

		{name: "blocked UDP", change: func(b *bed) { b.kernel.shakes = nil },
			failed: Handshake,
			cause: "UDP to gw2 (192.0.2.2:51820), gw1 (192.0.2.1:51820) gets no answer, while HTTPS to the broker " +
				"works: UDP is blocked on the way, or the gateways do not know the key",
			remedy: "let UDP out", skipped: "tunnel mtu"},
		{name: "blocked UDP, without a broker", change: func(b *bed) {
			b.kernel.shakes, b.cfg.Protocol = nil,
				config.Static
		},
			failed: Handshake,
			cause:  "gets no answer: UDP is blocked on the way, the gateways are down, or they do not know the key",
			remedy: "let UDP out", skipped: "broker tunnel mtu"},
		{name: "nothing leaves", change: func(b *bed) { b.kernel.shakes, b.kernel.unsent = nil, true },
			failed: Handshake, cause: "nothing can be sent to gw2", remedy: "ip route get", skipped: "tunnel mtu"},
		{name: "the broker's gateway has no name",
			change: func(b *bed) { b.cfg.Gateways = nil; delete(b.names, "gw2.example.org") },
			failed: Handshake, cause: "no gateway can be tried: lookup gw2.example.org", remedy: "name servers",
			skipped: "tunnel mtu"},
		{name: "no address of the family", change: func(b *bed) { b.cfg.AddressFamily = config.Only6 },
			failed:  Handshake,
			cause:   "gw2.example.org:51820 has no address of the families allowed (option address_family is only6)",
			skipped: "tunnel mtu"},
		{name: "only one of two gateways", change: func(b *bed) { delete(b.kernel.shakes, wgKey(2)) },
			passed: Handshake, detail: "gw1 (192.0.2.1:51820) shook hands; no answer from gw2 (192.0.2.2:51820)"},
		{name: "one gateway without a name",
			change: func(b *bed) { b.cfg.Gateways = append(b.cfg.Gateways, gateway(9)) },
			passed: Handshake, detail: "shook hands; lookup gw9.example.org"},
		{name: "the second round", change: func(b *bed) { b.kernel.shakes = map[wgtypes.Key]int{wgKey(1): 2} }},
		{name: "the device goes away", change: func(b *bed) { b.kernel.statErr = errors.New("no such device") },
			failed: Handshake, cause: "no such device", remedy: "took the device away", skipped: "tunnel mtu"},
		{name: "the agent hears no neighbour", change: func(b *bed) { b.withAgent(); b.snap.Gateway = nil },
			failed: Handshake, cause: "UDP to gw1 (192.0.2.1:51820) gets no answer", skipped: "tunnel mtu"},
		{name: "all gateways have lost the key", change: func(b *bed) {
			b.withAgent()
			b.snap.State, b.snap.Cause, b.snap.Reason, b.snap.Gateway.HandshakeAge = status.Suspect, status.NoAnswer,
				"gw1 is silent; trying others beside it", 39
			b.answers = nil
		}, failed: Handshake, cause: "UDP to gw1 (192.0.2.1:51820) gets no answer",
			remedy: "ask the operators whether the gateways know", skipped: "tunnel mtu"},
		{name: "all gateways have just lost the key", change: func(b *bed) {
			b.withAgent()
			b.echo = func(context.Context, string, []netip.Addr, time.Duration) map[netip.Addr]time.Duration {
				b.snap.State, b.snap.Cause = status.Suspect, status.NoAnswer // the agent has noticed meanwhile
				return nil
			}
		}, failed: Handshake, cause: "UDP to gw1 (192.0.2.1:51820) gets no answer", skipped: "tunnel mtu"},
		{name: "the agent's last handshake is old",
			change: func(b *bed) { b.withAgent(); b.snap.Gateway.HandshakeAge = 181 },
			failed: Handshake, cause: "UDP to gw1 (192.0.2.1:51820) gets no answer", skipped: "tunnel mtu"},
		{name: "the agent tries no gateway", change: func(b *bed) {
			b.withAgent()
			b.snap.Gateway, b.snap.Reason = nil, "asking for the time"
			b.kernel.agents = func(int) []wgtypes.Peer { return nil }
		}, failed: Handshake, cause: "the agent tries no gateway: asking for the time", skipped: "tunnel mtu"},
		{name: "a handshake at an unknown time", change: func(b *bed) {
			b.withAgent()
			b.snap.Gateway = nil
			b.kernel.agents = func(int) []wgtypes.Peer {
				return []wgtypes.Peer{{PublicKey: wgKey(1), LastHandshakeTime: today, ReceiveBytes: 92,
					TransmitBytes: 148}}
			}
		}, failed: Handshake, cause: "UDP to gw1 gets no answer", skipped: "tunnel mtu"},
		{name: "something received while the doctor looks", change: func(b *bed) {
			b.withAgent()
			b.snap.Gateway.HandshakeAge = 200
			b.pace.rounds[0] = time.Hour // it ends with the first packet
			b.kernel.agents = func(look int) []wgtypes.Peer {
				return []wgtypes.Peer{{PublicKey: wgKey(1), LastHandshakeTime: today, ReceiveBytes: int64(look)}}
			}
		}, passed: Handshake, detail: "gw1 answers the agent"},
		{name: "a handshake while the doctor looks", change: func(b *bed) {
			b.withAgent()
			b.snap.Gateway = nil
			b.pace.rounds[0] = time.Hour // as long as it takes; it ends with the handshake
			b.kernel.agents = func(look int) []wgtypes.Peer {
				p := wgtypes.Peer{PublicKey: wgKey(1), LastHandshakeTime: today}
				if look > 5 {
					p.LastHandshakeTime = today.Add(-time.Hour) // the clock was set
				}
				return []wgtypes.Peer{p}
			}
		}, passed: Handshake, detail: "gw1 answers the agent", skipped: "tunnel mtu"},
		{name: "an agent that is well", change: (*bed).withAgent, passed: Handshake,
			detail: "gw1 (192.0.2.1:51820) shook hands with the agent 35 s ago"},

		{name: "mute gateways", change: func(b *bed) { b.answers = nil },
			failed: Tunnel,
			cause: "the handshake with gw2 (192.0.2.2:51820) is fine, but fe80::2 does not answer inside the " +
				"tunnel: it expects another link address", remedy: "option link_local 'key'", skipped: "mtu"},
		{name: "the other derivation", change: other,
			failed: Tunnel, cause: "our link address derived the other way", remedy: "option link_local 'key'",
			skipped: "mtu"},
		{name: "the other derivation, the other way round",
			change: func(b *bed) { b.cfg.LinkLocal = config.KeyOnly; b.ident.Public = b.key.PublicKey(); other(b) },
			failed: Tunnel, cause: "our link address derived the other way", remedy: "option link_local 'key_newline'",
			skipped: "mtu"},
		{name: "the agent's gateway is mute", change: func(b *bed) { b.withAgent(); b.answers = nil },
			failed: Tunnel, cause: "fe80::1 does not answer inside the tunnel", remedy: "option link_local",
			skipped: "mtu"},
		{name: "deaf while the agent hears it", change: func(b *bed) { b.withAgent(); b.deaf = 2 },
			passed: Tunnel, detail: "fe80::1 answers"},
		{name: "deaf, and so is the agent", change: func(b *bed) {
			b.withAgent()
			b.snap.State, b.deaf = status.Suspect,
				1
		},
			failed: Handshake, skipped: "tunnel mtu"},
		{name: "one mute gateway of two", change: func(b *bed) { delete(b.answers, gateway(2).LinkAddress) },
			passed: Tunnel, detail: "fe80::1 answers within 2ms; no answer from gw2 (192.0.2.2:51820)"},
		{name: "layer 3, without an agent", change: func(b *bed) { b.layer3() }, skipped: "broker tunnel mtu"},
		{name: "layer 3, without an agent, answers", change: func(b *bed) {
			b.layer3()
			b.answers[netip.MustParseAddr("10.99.0.1")] = time.Millisecond
		}, passed: Tunnel, detail: "10.99.0.1 answers", skipped: "broker"},
		{name: "layer 3, no gateway answers", change: func(b *bed) { b.layer3(); b.kernel.shakes = nil },
			failed: Handshake, cause: "gets no answer", skipped: "broker tunnel mtu"},
		{name: "layer 3, no address of the node's", change: func(b *bed) {
			b.layer3()
			b.withAgent()
			b.links["wg_mesh"], b.snap.Gateway.LinkAddress = 1420, "10.99.0.1"
		}, failed: Tunnel, cause: "wg_mesh has no IPv4 address to ask it from",
			remedy: "give wg_mesh the node's IPv4 address", skipped: "broker mtu"},
		{name: "layer 3, the agent's gateway is mute", change: func(b *bed) {
			b.layer3()
			b.withAgent()
			b.address, b.snap.Gateway.LinkAddress = true, "10.99.0.1"
		}, failed: Tunnel, cause: "it has no route to our address, or its allowed IPs for us lack it",
			remedy: "ask the operators for the gateway's allowed IPs", skipped: "broker mtu"},
		{name: "no link address", change: func(b *bed) {
			b.cfg.Gateways, b.answer.Peers = nil, nil
			p := gateway(2)
			p.LinkAddress = netip.Addr{}
			b.broker.answer.Peers = []peerselector.Peer{p}
		}, skipped: "tunnel mtu"},

		{name: "MTU too big", change: func(b *bed) { b.passes = 1372 },
			failed: MTU, cause: "the largest packet that passes is 1372 bytes, and the MTU of wgdoctor is 1420",
			remedy: "option mtu '1372'"},
		{name: "configured MTU too big", change: func(b *bed) { b.passes, b.cfg.MTU = 1372, 1420 },
			failed: MTU, cause: "passes is 1372 bytes, and option mtu is 1420", remedy: "option mtu '1372'"},
		{name: "less than IPv6 needs", change: func(b *bed) { b.passes = 1279 }, failed: MTU,
			cause: "not even packets of 1280 bytes pass", remedy: "WAN"},
		{name: "no time to measure", change: func(b *bed) {
			b.largest = func(context.Context, string, netip.Addr, int, int, time.Duration) (int, error) {
				return 1300, context.DeadlineExceeded
			}
		}, failed: MTU, cause: "packets of 1300 bytes pass, larger ones hardly", remedy: "option mtu '1300'"},
		{name: "not measured", change: func(b *bed) {
			b.largest = func(context.Context, string, netip.Addr, int, int, time.Duration) (int, error) {
				return 0, context.DeadlineExceeded
			}
		}, skipped: "mtu"},
		{name: "device gone before it was measured", change: func(b *bed) { delete(b.links, ownDevice) }, failed: MTU,
			cause: "no such network interface"},
		{name: "WireGuard in pieces", change: func(b *bed) { b.pathSize = 1400 },
			passed: MTU,
			detail: "packets of 1420 bytes pass; but in pieces: the WAN carries 1400 bytes, for which option mtu " +
				"'1340' would do"},
		{name: "WireGuard just fits", change: func(b *bed) { b.pathSize = 1480 }, passed: MTU,
			detail: "packets of 1420 bytes pass."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			b.ident.Public = b.key.PublicKey()
			tt.change(b)
			all := b.examine(context.Background(), nil)
			b.close()
			var stages, skipped []string
			for _, f := range all {
				stages = append(stages, string(f.Stage))
				switch f.Outcome {
				case Skipped:
					skipped = append(skipped, string(f.Stage))
					if f.Cause == "" {
						t.Errorf("%s is skipped, and does not say why", f.Stage)
					}
				case Failed, Warned:
					if f.Cause == "" || f.Remedy == "" || strings.Contains(f.Cause+f.Remedy, "\n") {
						t.Errorf("%+v", f)
					}
				}
			}
			if got := strings.Join(stages,
				" "); got != "config wan clock key names broker device handshake tunnel mtu" {
				t.Errorf("stages %s", got)
			}
			if got := strings.Join(skipped, " "); got != tt.skipped {
				t.Errorf("skipped %q, want %q", got, tt.skipped)
			}
			want := 0
			if tt.failed != "" {
				want = tt.failed.Code()
			}
			if got := Code(all); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
			for _, f := range all {
				if f.Stage == tt.passed && (f.Outcome != OK || !strings.Contains(f.Detail+".", tt.detail)) {
					t.Errorf("%+v", f)
				}
				if f.Outcome == Warned && f.Stage != tt.warned && tt.failed == "" {
					t.Errorf("%+v", f)
				}
				outcome := Failed
				if f.Stage == tt.warned {
					outcome = Warned
				} else if f.Stage != tt.failed {
					continue
				}
				if f.Outcome != outcome || !strings.Contains(f.Detail, tt.detail) ||
					!strings.Contains(f.Cause, tt.cause) || !strings.Contains(f.Remedy, tt.remedy) {
					t.Errorf("%+v", f)
				}
			}
			if t.Failed() {
				t.Logf("%+v", all)
			}
			if n := len(b.kernel.removed); b.isAgent && (n > 0 || len(b.kernel.applied) > 0) {
				t.Error("touched a device beside a running agent")
			} else if want := 2 * min(1, len(b.kernel.applied)); n != want || b.kern != nil && !b.kernel.closed {
				t.Errorf("removed our device %d times, closed: %v; want %d (an earlier doctor's, and ours)", n,
					b.kernel.closed, want)
			}
			if unlock, err := lock(b.o.RunDir); err == nil {
				unlock()
			} else if b.after == nil && b.o.RunDir != "/dev/null/run" {
				t.Errorf("the lock is still held: %v", err)
			}
			if b.after != nil {
				b.after()
			}
		})
	}
}

func wrap(text string, err error) error { return fmt.Errorf("%s: %w", text, err) }
