package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/json"
	"wguplink/agent/status"
	"wguplink/agent/uplink"
	"wguplink/agent/wireguard"
)

// pick gives the uplinks that a command is about: the one named, or all.
func (o options) pick(args []string) ([]config.Uplink, error) {
	cfg, _, err := o.loadToRun()
	if err != nil {
		return nil, err
	}
	return o.choose(cfg.Uplinks, args)
}

// choose gives the uplink named, or all.
func (o options) choose(uplinks []config.Uplink, args []string) ([]config.Uplink, error) {
	if len(args) == 0 {
		return uplinks, nil
	}
	for _, u := range uplinks {
		if u.Name == args[0] {
			return []config.Uplink{u}, nil
		}
	}
	var names []string
	for _, u := range uplinks {
		names = append(names, u.Name)
	}
	return nil, fmt.Errorf("no uplink %q in %s/%s%s", args[0], o.config, config.Package,
		config.DidYouMean(args[0], names))
}

// statusTimeout is how long the agent may take for its answer. It answers beside all else that it does.
const statusTimeout = 2 * time.Second

// agentsWord is what the running agent says of its uplinks by ubus, by name; nil where there is no ubus, or no answer
// in time.
func agentsWord(o options) map[string]status.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	answer, err := ask(ctx, o.ubus, "status", nil)
	if err != nil {
		return nil
	}
	var said allStatus
	b, err := json.Marshal(answer)
	if err != nil || json.Unmarshal(b, &said) != nil {
		return nil
	}
	return said.Uplinks
}

// lastWord is what the agent wrote last of an uplink. Where it runs and has written nothing, its folder is full.
func lastWord(o options, u config.Uplink) (status.Snapshot, error) {
	s, err := status.Read(o.run, u.Name, status.Now())
	if err == nil && s.State == status.Stopped && uplink.Running(o.run, u.Name) {
		s.State, s.Interface = status.Starting, u.Interface
		s.Reason = fmt.Sprintf(
			"an agent runs, but %s has no status of it: it has just started, or the file system is full", o.run)
	}
	return s, err
}

// statusNow is what the agent says of the uplinks, or has said last, with WireGuard's counters of this moment.
func statusNow(o options, uplinks []config.Uplink) ([]status.Snapshot, error) {
	all := []status.Snapshot{}
	said := agentsWord(o)
	var noted []string // the agent's word has it already
	if run, damage, err := o.loadToRun(); err == nil {
		noted = notes(o, run, damage)
	}
	for _, u := range uplinks {
		s, ok := said[u.Name]
		if !ok {
			var err error
			if s, err = lastWord(o, u); err != nil {
				return nil, err
			}
		}
		if !ok && !uplink.Running(o.run, u.Name) {
			s = status.Snapshot{Uplink: u.Name, State: status.Stopped, Interface: u.Interface}
			s.Reason = "no agent runs; start it, and look at the log if it ends"
			if u.Fault != "" {
				s = leftOut(u)
			} else if !u.Enabled {
				s.Reason = "option enabled is off"
			}
		}
		if !ok {
			s.Warnings = append(s.Warnings, noted...)
		}
		count(&s)
		all = append(all, s)
	}
	return all, nil
}

// health is the exit code that a state is worth.
func health(s status.State) int {
	switch s {
	case status.Connected:
		return exitOK
	case status.Stopped:
		return exitStopped
	case status.Suspect, status.Impaired:
		return exitImpaired
	}
	return exitAway
}

// healthOf is the exit code for all uplinks: that of the worst. What is switched off counts only when it is all there
// is.
func healthOf(uplinks []config.Uplink, all []status.Snapshot) int {
	code, on := exitOK, false
	for i, s := range all {
		if !uplinks[i].Enabled && uplinks[i].Fault == "" && len(all) > 1 { // a mistake leaves out what is meant to run
			continue
		}
		on = true
		if one := health(s.State); one != exitOK && (code == exitOK || one < code) {
			code = one
		}
	}
	if !on {
		return exitStopped
	}
	return code
}

// showStatus is the command status.
func showStatus(c call) int {
	if c.watch {
		return watchStatus(c)
	}
	return about(func(c call, uplinks []config.Uplink) int {
		all, err := statusNow(c.options, uplinks)
		if err != nil {
			return c.fail(err)
		}
		if !printStatus(c, all) {
			return exitFailed
		}
		return healthOf(uplinks, all)
	})(c)
}

// allStatus is what status --json prints: the same as the method status on ubus.
type allStatus struct {
	Uplinks map[string]status.Snapshot `json:"uplinks"`
}

func printStatus(c call, all []status.Snapshot) (ok bool) {
	if c.json {
		out := allStatus{map[string]status.Snapshot{}}
		for _, s := range all {
			out.Uplinks[s.Uplink] = s
		}
		return printJSON(out, c.stdout, c.stderr)
	}
	if len(all) == 0 {
		fmt.Fprintf(c.stdout, "no uplink in %s/%s\n", c.config, config.Package)
	}
	for _, s := range all {
		status.Print(c.stdout, s)
	}
	return true
}

// count fills in the gateway's traffic. Without access to the device the numbers stay 0.
func count(s *status.Snapshot) {
	if s.Gateway == nil {
		return
	}
	wg, err := wireguard.New()
	if err != nil {
		return
	}
	defer wg.Close()
	dev, err := wg.Device(s.Interface)
	if err != nil {
		return
	}
	for _, p := range dev.Peers {
		if p.PublicKey.String() == s.Gateway.PublicKey {
			s.Gateway.RxBytes, s.Gateway.TxBytes = p.ReceiveBytes, p.TransmitBytes
		}
	}
}

// ownGateway finds a gateway with this node's own key: the handshake would be one with itself. Without a key yet there
// is none.
func ownGateway(o options, u config.Uplink) error {
	own, err := identity.Public(o.tree(), o.keyOptions(u))
	if err != nil {
		return nil // identity.Check has said what is wrong, and a key that is still to be made is no other program's
	}
	for _, g := range u.Gateways {
		if [32]byte(g.PublicKey) == [32]byte(own) {
			return config.Problem{
				File: filepath.Join(o.config, config.Package), Section: g.Name, Option: "public_key",
				Value:  own.String(),
				Reason: "the key of this node itself", Allowed: "the key of the gateway",
			}
		}
	}
	return nil
}

// checkConfig prints every problem of the configuration, and of the keys that it names.
func checkConfig(o options, stdout, stderr io.Writer) int {
	var all []error
	cfg, err := o.load()
	if err != nil {
		cfg = &config.Config{}
		all = append(all, err)
	}
	for _, p := range append(cfg.Unused, cfg.Doubts...) {
		all = append(all, p)
	}
	for _, u := range cfg.Uplinks {
		if err := identity.Check(o.tree(), o.keyOptions(u)); err != nil {
			all = append(all, err)
		} else if err := ownGateway(o, u); err != nil {
			all = append(all, err)
		}
	}
	code := exitOK
	if len(all) > 0 {
		code = exitFailed
	}
	if o.json {
		if !printJSON(checked(o, cfg, all), stdout, stderr) {
			return exitFailed
		}
		return code
	}
	for _, err := range all {
		fmt.Fprintln(stderr, err)
	}
	for _, path := range o.exposedKeys(cfg.Uplinks) {
		fmt.Fprintf(stderr, "warning: all users can read the private key in %s: chmod o= %s\n", path, path)
	}
	if code == exitOK {
		fmt.Fprintf(stdout, "%s/%s: %s, no problem\n", o.config, config.Package,
			status.Count(len(cfg.Uplinks), "uplink"))
	}
	return code
}

// showLocations prints what option location may say, one a line. Most brokers know no locations.
func showLocations(uplinks []config.Uplink, stdout, stderr io.Writer) int {
	code := exitOK
	for _, u := range uplinks {
		if u.Protocol != config.WGKex {
			continue
		}
		names, err := listLocations(context.Background(), u)
		switch {
		case err != nil:
			fmt.Fprintf(stderr, "uplink %s: %v\n", u.Name, err)
			code = exitFailed
		case len(names) == 0:
			fmt.Fprintf(stderr, "uplink %s: the broker knows no locations\n", u.Name)
		}
		for _, n := range names {
			fmt.Fprintln(stdout, n)
		}
	}
	return code
}

// showKey prints public keys, one a line; with several uplinks their names in front.
func showKey(o options, uplinks []config.Uplink, stdout, stderr io.Writer) int {
	code := exitOK
	all := []shownKey{}
	for _, u := range uplinks {
		key, err := identity.Public(o.tree(), o.keyOptions(u))
		if o.make && errors.Is(err, os.ErrNotExist) {
			key, err = makeKey(o, u)
		}
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("uplink %s has no key yet; the agent makes one when it starts", u.Name)
		}
		shown := shownKey{Uplink: u.Name}
		switch {
		case err != nil:
			code, shown.Problem = exitFailed, err.Error()
			if !o.json {
				fmt.Fprintln(stderr, err)
			}
		case o.json:
			shown.PublicKey = key.String()
		case len(uplinks) == 1:
			fmt.Fprintln(stdout, key)
		default:
			fmt.Fprintln(stdout, u.Name, key)
		}
		all = append(all, shown)
	}
	if o.json && !printJSON(all, stdout, stderr) {
		return exitFailed
	}
	return code
}

// makeKey does for a node whose agent has not run yet what the agent does first.
func makeKey(o options, u config.Uplink) (wgtypes.Key, error) {
	if err := os.MkdirAll(o.run, 0o755); err != nil {
		return wgtypes.Key{}, fmt.Errorf("make the run directory: %w", err)
	}
	id, err := identity.Load(o.tree(), o.keyOptions(u))
	if err == nil {
		err = cmp.Or(id.NotStored, id.PublicFileErr)
	}
	return id.Public, err
}
