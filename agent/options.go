package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/uci"
)

// options are the flags of all commands.
type options struct {
	config, staged, run, state string
	ubus                       string // socket; "" means the usual ones
	uplink                     string // reconnect: which one; "" means the only one
	group                      string // run: the Unix group, name or number; "" means to stay in the present one
	json, watch, help          bool
	endWithParent              bool // run: end when the process that started us does
	stderr                     bool // run: log to standard error
	make                       bool // key show: make or import the key where there is none
}

const defaultState = "/etc/wguplink"

// parkerPublic is the file beside the private key that the original's scripts and provider read (ffbs-mesh-vpn-parker).
const parkerPublic = "wg-pubkey"

// setting is an option of the command line: a text if to is set, else a switch.
type setting struct {
	name, value string
	short       string // what it does, in one line
	common      bool   // each command has it
	to          *string
	on          *bool
}

// flags are all of them, in the order of the help.
func (o *options) flags() []setting {
	return []setting{
		{name: "--json", short: "for programs: one value of JSON", on: &o.json},
		{name: "--watch", short: "go on, and print each change as it comes", on: &o.watch},
		{name: "--uplink", value: "NAME", short: "which one, where there are several", to: &o.uplink},
		{name: "--group", value: "GROUP", short: "change to this Unix group before anything is sent", to: &o.group},
		{name: "--end-with-parent", short: "end when the process that started it has ended", on: &o.endWithParent},
		{name: "--stderr", short: "log to standard error, not to the system log", on: &o.stderr},
		{name: "--make", short: "import or make the key where there is none", on: &o.make},
		{name: "--config", value: "DIR", short: "UCI files (default /etc/config)", common: true, to: &o.config},
		{name: "--staged", value: "DIR", short: "UCI's staged changes (default /tmp/.uci)",
			common: true, to: &o.staged},
		{name: "--run", value: "DIR", short: "lock and status files (default /var/run/wguplink)",
			common: true, to: &o.run},
		{name: "--state", value: "DIR", short: "what outlives a reboot (default /etc/wguplink)",
			common: true, to: &o.state},
		{name: "--ubus", value: "PATH", short: "socket of ubusd (default: where OpenWrt has it)",
			common: true, to: &o.ubus},
		{name: "--help", short: "what the command does", common: true, on: &o.help},
	}
}

// takes tells whether a command has an option.
func (v *verb) takes(f setting) bool { return f.common || slices.Contains(v.flags, f.name) }

// parseOptions takes the command's options out of args, wherever they stand, as --name VALUE or --name=VALUE. What
// follows "--" is no option.
func parseOptions(v *verb, args []string) (o options, rest []string, err error) {
	o = options{config: "/etc/config", staged: "/tmp/.uci", run: "/var/run/wguplink", state: defaultState}
	all := slices.DeleteFunc(o.flags(), func(f setting) bool { return !v.takes(f) })
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		if name == "-h" {
			name = "--help"
		}
		if name == "--" && !given {
			return o, append(rest, args[i+1:]...), nil
		}
		if len(name) < 2 || name[0] != '-' {
			rest = append(rest, args[i])
			continue
		}
		at := slices.IndexFunc(all, func(f setting) bool { return f.name == name })
		if at < 0 {
			var known []string
			for _, f := range all {
				known = append(known, f.name)
			}
			return o, nil, fmt.Errorf("no option %q%s", name, config.DidYouMean(name, known))
		}
		f := all[at]
		switch {
		case f.on != nil && given:
			return o, nil, fmt.Errorf("option %s takes no value", name)
		case f.on != nil:
			*f.on = true
			continue
		case !given && i+1 < len(args):
			i++
			value = args[i]
		}
		if *f.to = value; value == "" {
			return o, nil, fmt.Errorf("option %s needs a value", name)
		}
	}
	return o, rest, nil
}

func (o options) tree() *uci.Tree { return uci.NewTree(o.config, o.staged) }

// load reads the configuration as it is on disk now. Any mistake is an error.
func (o options) load() (*config.Config, error) { return config.LoadFile(o.tree(), o.file()) }

// damaged tells whether nothing can be made of the configuration file.
func (o options) damaged() bool {
	_, err := o.load()
	var damage *config.Damage
	return errors.As(err, &damage)
}

// keyOptions says where the private key of an uplink lives.
func (o options) keyOptions(u config.Uplink) identity.Options {
	k := identity.Options{
		Package: config.Package, Section: u.Name, Option: "private_key",
		KeyFile: u.KeyFile, Import: u.KeyImport, LockFile: filepath.Join(o.run, "key.lock"), NoNew: u.KeyDoubt,
	}
	if public, ok := o.knownKey(u.Name); ok && u.KeyDoubt != "" && u.KeyFile == "" && o.damaged() {
		k.Found = identity.Lost{File: o.file(), Public: public}
	}
	if u.Protocol == config.Parker && u.KeyFile != "" {
		k.PublicFile = filepath.Join(filepath.Dir(u.KeyFile), parkerPublic)
	}
	return k
}
