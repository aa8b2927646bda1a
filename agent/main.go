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
	"strconv"
	"time"

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
	exitOK       = 0
	exitFailed   = 1 // it did not work; the reason stands on standard error
	exitUsage    = 2 // the command line makes no sense
	exitLocked   = 3 // another wguplink runs the uplink
	exitStopped  = 4 // status: nothing runs the uplink
	exitAway     = 5 // status: no gateway is in use
	exitImpaired = 6 // status: a gateway is in use, and something is wrong
)

func main() {
	if filepath.Base(os.Args[0]) == wgpeerselector.Package {
		os.Exit(runDropIn(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

func command(args []string, stdout, stderr io.Writer) int {
	name, args := cut(args)
	switch {
	case name == wgpeerselector.Package: // its arguments are the original's, not ours
		return runDropIn(args, stdout, stderr)
	case name == "":
		overview(stderr)
		return exitUsage
	}
	v := find(name)
	if v == nil {
		fmt.Fprintln(stderr, "wguplink:", unknown(name))
		return exitUsage
	}
	wrong := func(err error) int {
		fmt.Fprintf(stderr, "wguplink %s: %v; see wguplink %[1]s --help\n", v.name, err)
		return exitUsage
	}
	o, rest, err := parseOptions(v, args)
	c := call{o, rest, stdout, stderr}
	switch {
	case err != nil:
		return wrong(err)
	case o.help:
		explain(stdout, v)
		return exitOK
	case len(rest) > v.most:
		return wrong(fmt.Errorf("unexpected argument %q", rest[v.most]))
	case len(rest) < v.least:
		return wrong(fmt.Errorf("%s is needed", v.args))
	}
	return v.run(c)
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
