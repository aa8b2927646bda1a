package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/uci"
)

// lastGood is the folder below the state folder with the last configuration that could be read, for when the file is damaged.
const lastGood = "last-good"

func (o options) lastGood() string { return filepath.Join(o.state, lastGood) }

// keptReader reads our own package from one tree, and what others have from another.
type keptReader struct {
	config.Reader // of the kept package
	system        config.Reader
}

func (r keptReader) of(pkg string) config.Reader {
	if pkg == config.Package {
		return r.Reader
	}
	return r.system
}

func (r keptReader) LoadConfig(pkg string, force bool) error { return r.of(pkg).LoadConfig(pkg, force) }
func (r keptReader) SectionType(pkg, section string) (string, bool) {
	return r.of(pkg).SectionType(pkg, section)
}
func (r keptReader) Get(pkg, section, option string) ([]string, bool) {
	return r.of(pkg).Get(pkg, section, option)
}

// loadToRun reads the configuration as it is on disk now, with what can be run in spite of mistakes. Where the file is damaged it
// is the one that could be read last, and damage says why.
func (o options) loadToRun() (run *config.Run, damage, err error) {
	file := filepath.Join(o.config, config.Package)
	run, err = config.LoadToRun(o.tree(), file)
	if !errors.Is(err, config.ErrDamaged) {
		return run, nil, err
	}
	dir := o.lastGood()
	kept := keptReader{uci.NewTree(dir, filepath.Join(dir, "staged")), o.tree()}
	run, keptErr := config.LoadToRun(kept, filepath.Join(dir, config.Package))
	if keptErr != nil {
		return nil, nil, err
	}
	for i, u := range run.Uplinks {
		if u.Enabled && !u.Borrowed && u.KeyFile == "" {
			// Never a new key in the place of one that can be restored.
			run.Uplinks[i].Enabled = false
			run.Uplinks[i].Fault = fmt.Sprintf("%v; the private key was in it: restore the file, or write it anew without a key for a new one", err)
		}
	}
	return run, err, nil
}

// keepConfig stores the configuration as it is on disk now for when the file is damaged, unless it is stored already.
func (o options) keepConfig() error {
	dir := o.lastGood()
	name := filepath.Join(dir, config.Package)
	next, err := config.Public(o.tree())
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, next) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(next)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// reader is what the running agent reads its configuration with. It has one owner at a time: the start, then reloads.
type reader struct {
	o    options
	log  *slog.Logger
	told []string // the warnings of the last time
	last []config.Uplink
}

// read gives the uplinks to run. Each mistake is one warning, again only when they change. An uplink that a mistake makes
// impossible stays as it was, unless the mistake is in an option that restricts.
func (r *reader) read() (*config.Run, error) {
	run, damage, err := r.o.loadToRun()
	if err != nil {
		return nil, err
	}
	var tell []string
	if damage != nil {
		tell = append(tell, damage.Error()+"; the last configuration that could be read is run")
	}
	for _, p := range run.Mistakes {
		tell = append(tell, p.Error())
	}
	for i, u := range run.Uplinks {
		was := slices.IndexFunc(r.last, func(l config.Uplink) bool { return l.Name == u.Name && l.Enabled })
		switch {
		case u.Fault == "":
		case was >= 0 && !u.Closed:
			run.Uplinks[i] = r.last[was]
			tell = append(tell, fmt.Sprintf("uplink %s cannot be as the file says; it runs on as it was", u.Name))
		default:
			tell = append(tell, fmt.Sprintf("uplink %s is left out because of a mistake in the configuration", u.Name))
		}
	}
	if damage == nil {
		if err := r.o.keepConfig(); err != nil {
			tell = append(tell, "the configuration is not kept for when the file is damaged: "+err.Error())
		}
	}
	if !slices.Equal(tell, r.told) {
		for _, t := range tell {
			r.log.Warn("configuration", "problem", strings.ReplaceAll(t, "\n", " "))
		}
	}
	r.told, r.last = tell, run.Uplinks
	return run, nil
}
