// Package wgpeerselector is what stands before the engine of the drop-in for Gluon's wgpeerselector
// (freifunk-gluon/packages, net/wgpeerselector): its command line, its UCI file, the change of group, the PID file, and
// its answer to ubus. The tunnel itself is package uplink's.
package wgpeerselector

import (
	"errors"
	"fmt"
	"strings"

	"wguplink/agent/config"
)

// Usage is the help text.
const Usage = `wgpeerselector keeps an interface connected to one of the WireGuard peers of
/etc/config/wgpeerselector. The interface itself is not its own, but netifd's
as a rule.

Usage: wgpeerselector -i IF [options]

  -i, --interface IF    the WireGuard interface; waited for if it is not there
      --group GROUP     change to this Unix group (name or number) before
                        anything is sent
  -p, --pid-file FILE   write the process id to FILE, and remove it at the end
  -v, --verbose         log more
      --version         print the version
  -h, --help            this text

Not in the original, meant for tests:
      --config DIR      UCI files (default /etc/config)
      --staged DIR      UCI's staged changes (default /tmp/.uci)
      --run DIR         lock and status files (default /var/run/wguplink)
      --ubus PATH       socket of ubusd (default: where OpenWrt has it)
      --stderr          log to standard error, as on a terminal, and not to the
                        system log

Exit codes: 0 ended by a signal, 1 the configuration cannot be run (no peer, or
no such group), 2 wrong usage, 3 the interface has such a process already, 75
failed otherwise.
`

// Args is the command line.
type Args struct {
	Interface string
	Group     string // name or number; "" means to stay in the present one
	PIDFile   string // "" means none
	Verbose   bool
	// Config, Staged and Run are folders.
	Config, Staged, Run string
	// Ubus is the path of ubusd's socket; "" means the usual ones.
	Ubus   string
	Stderr bool // log to standard error
	// Help and Version ask for nothing but that. The other fields may be missing then.
	Help, Version bool
}

// flag is one option of the command line: a string with to, else a switch.
type flag struct {
	long  string
	short byte // 0 means none
	to    *string
	on    *bool
}

// ParseArgs takes the command line without the program's name, in the forms of Python's argparse: --interface IF,
// --interface=IF, -i IF, -iIF, and short switches in one (-vi IF). The last of several wins, as in the original. The
// error is of the user's making.
func ParseArgs(args []string) (Args, error) {
	a := Args{Config: "/etc/config", Staged: "/tmp/.uci", Run: "/var/run/wguplink"}
	flags := []flag{
		{"interface", 'i', &a.Interface, nil}, {"group", 0, &a.Group, nil}, {"pid-file", 'p', &a.PIDFile, nil},
		{"config", 0, &a.Config, nil}, {"staged", 0, &a.Staged, nil}, {"run", 0, &a.Run, nil},
		{"ubus", 0, &a.Ubus, nil},
		{"stderr", 0, nil, &a.Stderr}, {"verbose", 'v', nil, &a.Verbose}, {"version", 0, nil, &a.Version},
		{"help", 'h', nil, &a.Help},
	}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case strings.HasPrefix(arg, "--"):
			args, err = parseLong(flags, arg, args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = parseShort(flags, arg, args)
		default:
			err = fmt.Errorf("unexpected argument %q", arg)
		}
		if err != nil {
			return Args{}, err
		}
		if a.Help || a.Version {
			return a, nil
		}
	}
	if a.Interface == "" {
		return Args{}, errors.New("option --interface is missing: name the WireGuard interface")
	}
	if allowed, ok := config.SetUplink(new(config.Uplink), "interface", a.Interface); !ok {
		return Args{}, fmt.Errorf("option --interface: %q cannot be an interface; allowed: %s", a.Interface, allowed)
	}
	return a, nil
}

// parseLong takes --name, --name VALUE or --name=VALUE, and returns the arguments that are left.
func parseLong(flags []flag, arg string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	for _, f := range flags {
		if "--"+f.long != name {
			continue
		}
		if f.on != nil {
			if given {
				return nil, fmt.Errorf("option %s takes no value, but has %q", name, value)
			}
			*f.on = true
			return rest, nil
		}
		return f.take(name, value, given, rest)
	}
	return nil, fmt.Errorf("no option %q", name)
}

// parseShort takes -x, -x VALUE, -xVALUE or -x=VALUE, with any number of switches before the x.
func parseShort(flags []flag, arg string, rest []string) ([]string, error) {
next:
	for i := 1; i < len(arg); i++ {
		for _, f := range flags {
			if f.short == 0 || f.short != arg[i] {
				continue
			}
			if f.on != nil {
				*f.on = true
				continue next
			}
			value := strings.TrimPrefix(arg[i+1:], "=")
			return f.take("-"+string(f.short), value, i+1 < len(arg), rest)
		}
		return nil, fmt.Errorf("no option %q", "-"+arg[i:])
	}
	return rest, nil
}

// take stores the option's value, which is the next argument if it was not given with the name.
func (f flag) take(name, value string, given bool, rest []string) ([]string, error) {
	if !given {
		// What looks like an option is one: a forgotten value must not swallow it.
		if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
			return nil, fmt.Errorf("option %s needs a value", name)
		}
		value, rest = rest[0], rest[1:]
	}
	if value == "" {
		return nil, fmt.Errorf("option %s needs a value, but has an empty one", name)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return nil, fmt.Errorf("option %s: %q contains a NUL", name, value)
	}
	*f.to = value
	return rest, nil
}
