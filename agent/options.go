package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/uci"
)

// options are the flags that every command takes.
type options struct {
	config, staged, run, state string
	ubus                       string // socket; "" means the usual ones
	uplink                     string // reconnect: which one; "" means the only one
	group                      string // run: the Unix group, name or number; "" means to stay in the present one
	json, help                 bool
	endWithParent              bool // run: end when the process that started us does
	make                       bool // key show: make or import the key where there is none
}

const defaultState = "/etc/wguplink"

// parkerPublic is the file beside the private key that the original's scripts and provider read (ffbs-mesh-vpn-parker).
const parkerPublic = "wg-pubkey"

// parseOptions takes the options out of args, wherever they stand, as --name VALUE or --name=VALUE.
func parseOptions(args []string) (o options, rest []string, err error) {
	o = options{config: "/etc/config", staged: "/tmp/.uci", run: "/var/run/wguplink", state: defaultState}
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		var dir *string
		switch name {
		case "--config":
			dir = &o.config
		case "--staged":
			dir = &o.staged
		case "--run":
			dir = &o.run
		case "--state":
			dir = &o.state
		case "--ubus":
			dir = &o.ubus
		case "--uplink":
			dir = &o.uplink
		case "--group":
			dir = &o.group
		case "--json":
			o.json = true
			continue
		case "--end-with-parent":
			o.endWithParent = true
			continue
		case "--make":
			o.make = true
			continue
		case "--help", "-h":
			o.help = true
			continue
		default:
			if strings.HasPrefix(name, "-") {
				return o, nil, fmt.Errorf("no option %q", name)
			}
			rest = append(rest, args[i])
			continue
		}
		if !given {
			if i++; i == len(args) {
				return o, nil, fmt.Errorf("option %s needs a value", name)
			}
			value = args[i]
		}
		if *dir = value; value == "" {
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
