package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/slog"
)

// file is the configuration.
func (o options) file() string { return filepath.Join(o.config, config.Package) }

// loadToRun reads the configuration as it is on disk now, with what can be run in spite of mistakes. Where the file is
// damaged it is the one that could be read last, and damage says why. The error is that of a file that cannot be read,
// and has no such stand-in.
func (o options) loadToRun() (run *config.Run, damage *config.Damage, err error) {
	run, err = config.LoadToRun(o.tree(), o.file())
	doubt := ""
	switch {
	case errors.As(err, &damage):
		if run, _ = o.loadKept(); run == nil {
			return nil, damage, err
		}
		doubt = damage.Error() +
			". The private key was in it: restore the file, or write it anew without a key for a new one"
	case err != nil:
		return nil, nil, err
	case len(run.Mistakes) > 0:
		doubt = o.file() + " has mistakes, and this uplink had a key before: mend them first, see wguplink config check"
	}
	for i := range run.Uplinks {
		u := &run.Uplinks[i]
		_, had := o.knownKey(u.Name)
		if u.KeyDoubt == "" && doubt != "" && (had || damage != nil && u.KeyFile == "") {
			u.KeyDoubt = doubt
		}
	}
	return run, damage, nil
}

// notes says in few words what is wrong with the configuration that is run.
func notes(o options, run *config.Run, damage *config.Damage) []string {
	switch {
	case damage != nil:
		return []string{damage.Error() + "; the last configuration that could be read is run"}
	case len(run.Mistakes) > 0:
		return []string{o.file() + " has mistakes; wguplink config check names them"}
	}
	return nil
}

// loaded is a configuration as the agent runs it.
type loaded struct {
	uplinks  []config.Uplink
	notes    []string // for the status of each uplink
	mistakes []string
}

// reader is what the running agent reads its configuration and keys with.
type reader struct {
	o   options
	log *slog.Logger

	// Of read, which has one owner at a time: the start, then reloads.
	told []string // the warnings of the last time
	last []config.Uplink
	ran  bool // a configuration is in force

	mu       sync.Mutex // for what is below, and the kept files: each uplink calls loadKey
	unstored map[string]identity.PrivateKey
	keepErr  string // that the log was told of
}

// read gives the uplinks to run. Each mistake is one warning, again only when they change. An uplink that a mistake
// makes impossible stays as it was, unless the mistake is in an option that restricts. While a configuration is in
// force, a damaged file is an error.
func (r *reader) read() (*config.Run, loaded, error) {
	run, damage, err := r.o.loadToRun()
	if err == nil && damage != nil && r.ran {
		err = damage
	}
	if err != nil {
		return nil, loaded{}, err
	}
	out := loaded{notes: notes(r.o, run, damage)}
	for _, p := range slices.Concat(run.Mistakes, run.Unused, run.Doubts) {
		out.mistakes = append(out.mistakes, p.Error())
	}
	var tell []string
	if damage != nil {
		tell = append(tell, out.notes...)
	}
	tell = append(tell, out.mistakes...)
	for i, u := range run.Uplinks {
		was := slices.IndexFunc(r.last, func(l config.Uplink) bool { return l.Name == u.Name && l.Enabled })
		switch {
		case u.Fault == "":
		case was >= 0 && !u.Closed:
			run.Uplinks[i] = r.last[was]
			run.Uplinks[i].KeyDoubt = u.KeyDoubt
			tell = append(tell, fmt.Sprintf("uplink %s cannot be as the file says; it runs on as it was", u.Name))
		default:
			tell = append(tell, fmt.Sprintf("uplink %s is left out because of a mistake in the configuration", u.Name))
		}
	}
	if damage == nil {
		r.mu.Lock()
		err := r.o.keepConfig(run.Uplinks)
		r.mu.Unlock()
		if err != nil {
			tell = append(tell, "the configuration is not kept for when the file is damaged: "+err.Error())
		}
	}
	if !slices.Equal(tell, r.told) {
		for _, t := range tell {
			r.log.Warn("the configuration has a problem", "problem", strings.ReplaceAll(t, "\n", " "))
		}
	}
	r.told, r.last, r.ran = tell, run.Uplinks, true
	out.uplinks = run.Uplinks
	return run, out, nil
}

// loadKey loads the key of an uplink, or makes it. One that could not be stored is the same one the next time.
func (r *reader) loadKey(u config.Uplink) (identity.Identity, error) {
	k := r.o.keyOptions(u)
	r.mu.Lock()
	defer r.mu.Unlock()
	k.Unstored = r.unstored[u.Name]
	id, err := identity.Load(r.o.tree(), k)
	if err != nil {
		return id, err
	}
	if id.NotStored != nil {
		if r.unstored == nil {
			r.unstored = make(map[string]identity.PrivateKey)
		}
		r.unstored[u.Name] = id.Private
		return id, nil
	}
	delete(r.unstored, u.Name)
	said := ""
	if err := r.o.keepKey(u.Name, id.Public); err != nil {
		said = err.Error()
	}
	if said != "" && said != r.keepErr {
		r.log.Warn("the public key is not kept for when the configuration is damaged", "uplink", u.Name, "err", said)
	}
	r.keepErr = said
	return id, nil
}
