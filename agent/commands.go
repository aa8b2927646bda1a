package main

import (
	"fmt"
	"io"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/userspace"
)

// verb is a command of the program, of one word or two.
type verb struct {
	name  string
	args  string // what may follow, for people
	short string // what it does, in one line
	flags []string
	least int // arguments
	most  int
	run   func(call) int // gives the exit code
}

// call is one run of a command.
type call struct {
	options
	args           []string
	stdout, stderr io.Writer
}

// fail says why something did not work, and gives the exit code.
func (c call) fail(err error) int {
	fmt.Fprintln(c.stderr, err)
	return exitFailed
}

// verbs are all commands, in the order of the help.
func verbs() []verb {
	return []verb{
		{name: "run", short: "run the uplinks of /etc/config/wguplink",
			flags: []string{"--group", "--end-with-parent", "--stderr"},
			run:   func(c call) int { return runAgent(c.options, c.stderr) }},
		{name: "down", short: "remove what a stopped agent has left in place",
			run: func(c call) int { return takeDown(c.options, c.stderr) }},
		{name: "status", args: "[UPLINK]", short: "what each uplink does, and why",
			flags: []string{"--json", "--watch"}, most: 1, run: showStatus},
		{name: "reconnect", args: "[GATEWAY]", short: "switch to that gateway, or to any other",
			flags: []string{"--uplink"}, most: 1,
			run: func(c call) int { return reconnect(c.options, c.args, c.stdout, c.stderr) }},
		{name: "doctor", args: "[UPLINK]", short: "try each stage; name one cause and one remedy",
			flags: []string{"--json"}, most: 1,
			run: func(c call) int { return runDoctor(c.options, c.args, c.stdout, c.stderr) }},
		{name: "netcheck", args: "[UPLINK]", short: "ask all gateways: handshake, loss, MTU; also ping",
			flags: []string{"--json"}, most: 1,
			run: netcheck},
		{name: "bugreport", short: "one text, without secrets, for those who help", run: report},
		{name: "config check", short: "print every problem of the configuration", flags: []string{"--json"},
			run: func(c call) int { return checkConfig(c.options, c.stdout, c.stderr) }},
		{name: "key show", args: "[UPLINK]", short: "print the public key",
			flags: []string{"--json", "--make"}, most: 1,
			run: about(func(c call, u []config.Uplink) int { return showKey(c.options, u, c.stdout, c.stderr) })},
		{name: "locations", args: "[UPLINK]", short: "print what the broker allows as option location",
			most: 1, run: locations},
		{name: "luci", args: "list|call METHOD", short: "what LuCI's pages need, as rpcd runs a plug-in",
			least: 1, most: 2,
			run: func(c call) int { return runPlugin(c.options, c.args, c.stdout, c.stderr) }},
		{name: "wireguard-go", args: "IF", short: "userspace WireGuard, as the agent starts it", least: 1, most: 1,
			run: func(c call) int { return userspace.Main(c.args[0], userspace.Options{}) }},
		{name: "version", short: "print version, variant, commit and Go",
			run: func(c call) int { fmt.Fprintln(c.stdout, versionLine()); return exitOK }},
		{name: "help", args: "[COMMAND]", short: "this text, or what a command does", most: 2, run: helpAbout},
	}
}

// other names of commands.
var aliases = map[string]string{"ping": "netcheck", "--version": "version", "--help": "help",
	"-h": "help", "-V": "version"}

// about makes a command out of one that is about the uplink named, or all.
func about(f func(call, []config.Uplink) int) func(call) int {
	return func(c call) int {
		uplinks, err := c.pick(c.args)
		if err != nil {
			return c.fail(err)
		}
		return f(c, uplinks)
	}
}

func locations(c call) int {
	if listLocations == nil {
		return c.fail(fmt.Errorf("wguplink locations: this build has no broker support"))
	}
	return about(func(c call, u []config.Uplink) int { return showLocations(u, c.stdout, c.stderr) })(c)
}

// find gives a command by its name; nil when there is none.
func find(name string) *verb {
	if to, ok := aliases[name]; ok {
		name = to
	}
	for _, v := range verbs() {
		if v.name == name {
			return &v
		}
	}
	return nil
}

// cut takes the command's name, which may have two words, off the arguments.
func cut(args []string) (name string, rest []string) {
	if len(args) == 0 {
		return "", nil
	}
	name, rest = args[0], args[1:]
	if (name == "config" || name == "key") && len(rest) > 0 && rest[0] != "" && rest[0][0] != '-' {
		name, rest = name+" "+rest[0], rest[1:]
	}
	return name, rest
}

// unknown says that there is no such command, and which may have been meant.
func unknown(name string) error {
	known := []string{"wgpeerselector"}
	for _, v := range verbs() {
		if first, _, two := strings.Cut(v.name, " "); two && first == name {
			return fmt.Errorf("no command %q; did you mean %q? see wguplink help", name, v.name)
		}
		known = append(known, v.name)
	}
	for a := range aliases {
		if a[0] != '-' {
			known = append(known, a)
		}
	}
	return fmt.Errorf("no command %q%s; see wguplink help", name, config.DidYouMean(name, known))
}
