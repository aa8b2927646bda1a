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
	"wguplink/agent/userspace"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// runDoctor examines the uplink named, or all, and gives the exit code of the first that has a stage to fail.
func runDoctor(o options, args []string, stdout io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	opts := doctor.Options{
		RunDir: o.run, FloorFile: filepath.Join(o.state, "last-time"), Build: built(), System: clock.Kernel{},
		PublicKey: func(u config.Uplink) (wgtypes.Key, error) { return identity.Public(o.tree(), o.keyOptions(u)) },
		LoadKey:   func(u config.Uplink) (identity.Identity, error) { return identity.Load(o.tree(), o.keyOptions(u)) },
	}
	if userspace.Supported {
		opts.Spawn = func(_ context.Context, ifname string) error { _, err := userspace.Spawn(ifname, nil); return err }
	}
	if newRegistrar != nil {
		opts.NewRegistrar = func(u config.Uplink, _ wan.Path, own netip.Addr) (doctor.Registrar, error) {
			s := registration.SourceOf(u, peerselector.Key{})
			s.OwnLink = own
			return newRegistrar(s)
		}
	}
	uplinks, err := o.pick(args)
	if err != nil || len(uplinks) == 0 {
		if opts.ConfigErr = err; err == nil {
			opts.ConfigErr = fmt.Errorf("%s/%s has no section of type uplink", o.config, config.Package)
		}
		return doctor.Run(ctx, opts, stdout)
	}
	if len(args) == 0 { // one that is switched off is worth a word only when it is asked for, or nothing else is there
		if on := slices.DeleteFunc(slices.Clone(uplinks), func(u config.Uplink) bool { return !u.Enabled }); len(on) > 0 {
			uplinks = on
		}
	}
	code := exitOK
	for _, u := range uplinks {
		if len(uplinks) > 1 {
			fmt.Fprintf(stdout, "%s:\n", u.Name)
		}
		opts.Uplink = u
		if c := doctor.Run(ctx, opts, stdout); code == exitOK {
			code = c
		}
	}
	return code
}
