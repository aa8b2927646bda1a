// Command wguplink brings a community router's mesh online: see README.md. This package only reads the command line and
// wires the packages together.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/userspace"
	"wguplink/agent/wgpeerselector"
)

// Set by the build: -ldflags "-X main.version=… -X main.commit=… -X main.buildDate=<unix seconds>".
var (
	version   = "unknown"
	commit    = "unknown"
	buildDate = ""
)

// Exit codes, as in README.md.
const (
	exitOK      = 0
	exitFailed  = 1 // it did not work; the reason stands on standard error
	exitUsage   = 2 // the command line makes no sense
	exitLocked  = 3 // another wguplink runs the uplink
	exitStopped = 4 // status: no agent runs the uplink
)

const usage = `wguplink brings a community router's mesh online: WireGuard and VXLAN to a gateway.

Usage:
  wguplink run                 run the uplinks of /etc/config/wguplink; SIGHUP reads it again,
                               SIGTERM ends it and leaves the tunnels, SIGINT takes them down
  wguplink down                remove what a stopped agent has left in place for the next one
  wguplink status [--json] [UPLINK]
                               what each uplink does, and why
  wguplink reconnect [GATEWAY] switch to that gateway, or to any other, without a gap
  wguplink doctor [--json] [UPLINK]
                               try each stage in the foreground, and say what is wrong and what helps
  wguplink config check [--json]
                               print every problem of the configuration
  wguplink key show [--json] [--make] [UPLINK]
                               print the public key; --make imports or makes the key first, where there is none
  wguplink locations [UPLINK]  print what the broker allows as option location
  wguplink luci list|call METHOD
                               what LuCI's pages need, as rpcd runs a plug-in (JSON on standard input and output)
  wguplink wireguard-go IF     userspace WireGuard for one interface (started by the agent itself)
  wguplink wgpeerselector …    the drop-in for Gluon's wgpeerselector, also by that name; see its --help
  wguplink version             print version, variant, commit and Go; also --version

Options, after the command:
  --config DIR    UCI files (default /etc/config)
  --staged DIR    UCI's staged changes (default /tmp/.uci)
  --run DIR       lock and status files (default /var/run/wguplink)
  --ubus PATH     socket of ubusd (default: where OpenWrt has it)
  --uplink NAME   reconnect: of which uplink, where there are several
  --group GROUP   run: change to this Unix group before anything is sent, and check that it took
  --end-with-parent  run: end at once, and leave the tunnel to the next, when the process that started it has ended
  --state DIR     what outlives a reboot (default /etc/wguplink)
  --help          this text

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 another wguplink runs the uplink, 4 no agent runs (status); doctor: 10 to
19, the first stage that failed.
`

func main() {
	if filepath.Base(os.Args[0]) == wgpeerselector.Package {
		os.Exit(runDropIn(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

func command(args []string, stdout, stderr io.Writer) int {
	// The command may have two words.
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if verb == wgpeerselector.Package { // its arguments are the original's, not ours
		return runDropIn(args, stdout, stderr)
	}
	if (verb == "config" || verb == "key") && len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = verb+" "+args[0], args[1:]
	}
	o, rest, err := parseOptions(args)
	if err != nil {
		fmt.Fprintf(stderr, "wguplink %s: %v; see wguplink --help\n", verb, err)
		return exitUsage
	}
	if o.help || verb == "help" || verb == "--help" || verb == "-h" {
		io.WriteString(stdout, usage)
		return exitOK
	}
	most := 0
	var run func() int
	// about makes a command out of one that is about the uplink named, or all.
	about := func(f func([]config.Uplink) int) {
		most, run = 1, func() int {
			uplinks, err := o.pick(rest)
			if err != nil {
				fmt.Fprintln(stderr, err)
				return exitFailed
			}
			return f(uplinks)
		}
	}
	switch verb {
	case "run":
		run = func() int { return runAgent(o, stderr) }
	case "down":
		run = func() int { return takeDown(o, stderr) }
	case "status":
		about(func(u []config.Uplink) int { return showStatus(o, u, stdout, stderr) })
	case "reconnect":
		most, run = 1, func() int { return reconnect(o, rest, stdout, stderr) }
	case "doctor":
		most, run = 1, func() int { return runDoctor(o, rest, stdout, stderr) }
	case "config check":
		run = func() int { return checkConfig(o, stdout, stderr) }
	case "key show":
		about(func(u []config.Uplink) int { return showKey(o, u, stdout, stderr) })
	case "locations":
		if listLocations == nil {
			fmt.Fprintln(stderr, "wguplink locations: this build has no broker support")
			return exitFailed
		}
		about(func(u []config.Uplink) int { return showLocations(u, stdout, stderr) })
	case "luci":
		most, run = 2, func() int { return runPlugin(o, rest, stdout, stderr) }
	case "wireguard-go":
		if len(rest) != 1 {
			fmt.Fprintln(stderr, "wguplink wireguard-go: one interface name is needed")
			return exitUsage
		}
		most, run = 1, func() int { return userspace.Main(rest[0], userspace.Options{}) }
	case "version", "--version":
		run = func() int { fmt.Fprintln(stdout, versionLine()); return exitOK }
	case "":
		io.WriteString(stderr, usage)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "wguplink: no command %q; see wguplink --help\n", verb)
		return exitUsage
	}
	if o.json && !slices.Contains([]string{"status", "doctor", "config check", "key show"}, verb) {
		fmt.Fprintf(stderr, "wguplink %s: no option \"--json\"; see wguplink --help\n", verb)
		return exitUsage
	}
	if len(rest) > most {
		fmt.Fprintf(stderr, "wguplink %s: unexpected argument %q; see wguplink --help\n", verb, rest[most])
		return exitUsage
	}
	return run()
}

// versionLine is one line, for people and for checks of packages: the version is its second word.
func versionLine() string {
	return fmt.Sprintf("wguplink %s (variant %s, commit %s, %s)", version, variant(), commit, runtime.Version())
}

// variant is the name of the set of build tags, as in README.md.
func variant() string {
	switch {
	case newRegistrar == nil && userspace.Supported:
		return "nobroker, userspace"
	case newRegistrar == nil:
		return "nobroker"
	case userspace.Supported:
		return "userspace"
	}
	return "default"
}

// built is the program's build date; the zero Time when the build did not set it.
func built() time.Time {
	n, err := strconv.ParseInt(buildDate, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// newLogger writes lines without a time: on a router the system log puts its own in front, and ours may be wrong yet.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
