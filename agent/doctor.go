package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/doctor"
	"wguplink/agent/identity"
	"wguplink/agent/registration"
	"wguplink/agent/status"
	"wguplink/agent/userspace"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// runDoctor examines the uplink named, or all, and gives the exit code of the first that has a stage to fail.
func runDoctor(o options, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return examine(ctx, o, args, stdout, stderr)
}

// doctorOptions are what the doctor needs from outside, but for the uplink.
func doctorOptions(o options) doctor.Options {
	opts := doctor.Options{
		RunDir: o.run, FloorFile: filepath.Join(o.state, "last-time"), Build: built(), System: clock.Kernel{},
		PublicKey: func(u config.Uplink) (wgtypes.Key, error) { return identity.Public(o.tree(), o.keyOptions(u)) },
		LoadKey:   func(u config.Uplink) (identity.Identity, error) { return identity.Load(o.tree(), o.keyOptions(u)) },
		AgentsWord: func(uplink string) (status.Snapshot, bool) {
			s, ok := agentsWord(o)[uplink]
			return s, ok
		},
	}
	if userspace.Supported {
		opts.Spawn = func(_ context.Context, ifname, alias string) error {
			_, err := userspace.Spawn(ifname, alias, nil)
			return err
		}
	}
	if newRegistrar != nil {
		opts.NewRegistrar = func(u config.Uplink, _ wan.Path, own netip.Addr) (doctor.Registrar, error) {
			s := registration.SourceOf(u, peerselector.Key{})
			s.OwnLink = own
			return newRegistrar(s)
		}
	}
	return opts
}

// examine is the doctor, until ctx ends.
func examine(ctx context.Context, o options, args []string, stdout, stderr io.Writer) int {
	opts := doctorOptions(o)
	var uplinks []config.Uplink
	cfg, err := o.load() // strict: a mistake that the agent can do without is one all the same
	if err == nil {
		uplinks, err = o.choose(cfg.Uplinks, args)
	}
	if err != nil || len(uplinks) == 0 {
		if opts.ConfigErr = err; err == nil {
			opts.ConfigErr = fmt.Errorf("%s/%s has no section of type uplink", o.config, config.Package)
		}
		uplinks = []config.Uplink{{}} // the findings say what is wrong
	}
	if len(args) == 0 { // one that is switched off is worth a word only when it is asked for, or nothing else is there
		if on := slices.DeleteFunc(slices.Clone(uplinks),
			func(u config.Uplink) bool { return !u.Enabled }); len(on) > 0 {
			uplinks = on
		}
	}
	code := exitOK
	var all []examined
	for _, u := range uplinks {
		if len(uplinks) > 1 && !o.json {
			fmt.Fprintf(stdout, "%s:\n", u.Name)
		}
		opts.Uplink = u
		e := examined{Uplink: u.Name}
		e.Findings = doctor.Examine(ctx, opts, func(f doctor.Finding) {
			if !o.json {
				doctor.Print(stdout, f)
			}
		})
		if e.Code = doctor.Code(e.Findings); code == exitOK {
			code = e.Code
		}
		all = append(all, e)
	}
	if o.json && !printJSON(all, stdout, stderr) {
		return exitFailed
	}
	return code
}

// examined is an uplink in the doctor's JSON.
type examined struct {
	Uplink   string           `json:"uplink"` // "" when there is no usable configuration
	Code     int              `json:"exit_code"`
	Findings []doctor.Finding `json:"findings"`
}
