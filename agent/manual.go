//go:build !nobroker

package main

// manual is what the help and the manual page say of a command beyond its line in the list, in at most 80 columns, with
// examples: a command line and what it is for. It is for people at a keyboard, and so not in the smallest variant.
func manual(name string) (text string, examples [][2]string) {
	switch name {
	case "run":
		return `It runs in the foreground, as a service does it, and logs what changes.
SIGHUP reads the configuration again; only what differs is touched. SIGTERM
ends it and leaves the tunnels for the next start; SIGINT takes them down.`,
			[][2]string{{"wguplink run --group gluon-mesh-vpn", "as Gluon's firewall wants it"}}
	case "down":
		return `Devices and routes that carry the mark of an uplink go. It waits up to 15
seconds for an agent that is about to end, and touches nothing of one that
runs. The start script does this at a real stop.`,
			[][2]string{{"/etc/init.d/wguplink stop; wguplink down", "after a stop by hand"}}
	case "status":
		return `The first line has one word for the state:
  connected   a gateway is in use and answers, and nothing is in the way
  suspect     the gateway in use is silent or mute; others are tried beside it
  impaired    the gateway is not at fault; "why" names what is in the way
  connecting  no gateway is in use; "why" names the first thing missing
  starting    nothing is known yet
  stopped     no agent runs the uplink
Below stand all gateways (* is in use) with the result and the round trip of
the last try, and the last 20 changes. The exit code is 0 when all uplinks
are connected, 4 when one is stopped, 5 when one is not connected, 6 when one
is suspect or impaired. Those that are switched off count only when named.
--json prints what ubus call wguplink status does; docs/ubus.md has the
fields.`,
			[][2]string{{"wguplink status", "how all uplinks are"},
				{"wguplink status --watch mesh", "follow one, until Ctrl-C"},
				{"wguplink status >/dev/null || logger 'no uplink'", "in a script"}}
	case "reconnect":
		return `The gateway is named by its name or public key, as the status shows them.
The present one is left when the new one has answered, and kept when it does
not. The agent is asked by ubus.`,
			[][2]string{{"wguplink reconnect", "to any other gateway"},
				{"wguplink reconnect gw2 --uplink mesh", "to gw2, where there are several uplinks"}}
	case "doctor":
		return `Beside a running agent it changes nothing: it reads the agent's device,
sends echo requests through it, and registers the same key once more. The
exit code is 0, or that of the first stage that failed:
  10 config   12 clock   14 names    16 device      18 tunnel
  11 wan      13 key     15 broker   17 handshake   19 mtu`,
			[][2]string{{"wguplink doctor", "why is there no tunnel?"},
				{"wguplink doctor --json mesh", "one uplink, for programs"}}
	case "netcheck":
		return netcheckManual, [][2]string{{"wguplink netcheck", "which gateways can be reached from here?"},
			{"wguplink ping mesh", "the same for one uplink"}}
	case "bugreport":
		return `It has the version, the configuration, status, last changes, routes, rules and
devices that matter, the doctor's findings and lines of the log. Private and
preshared keys, passwords and tokens are masked; public keys, addresses and
names of gateways stand in it. Read it before you hand it over.`,
			[][2]string{{"wguplink bugreport > /tmp/report.txt", "a file to send"}}
	case "config check":
		return `Exit code 0 means that there is none. Options that the protocol or the mode
has no use for are named, too. A file that is good after a reload is taken
without a gap.`,
			[][2]string{{"wguplink config check && wguplink status", "after an edit"}}
	case "key show":
		return `The private key is never printed. --make imports or makes the key first,
where there is none, as the agent does at its first start.`,
			[][2]string{{"wguplink key show", "what the operators want to know"}}
	case "locations":
		return `One a line. Most brokers know no locations.`,
			[][2]string{{"wguplink locations", "before setting option location"}}
	case "wireguard-go":
		return `The agent starts it by itself where the kernel has no WireGuard, in the
variant userspace. It stays in the background until the device is removed.`, nil
	case "version":
		return `One line; the version is its second word. --version is the same.`, nil
	}
	return "", nil
}
