package main

import (
	"slices"

	"wguplink/agent/config"
	"wguplink/agent/slog"
	"wguplink/agent/uci"
)

// exposure looks after who can read private keys.
type exposure struct {
	o      options
	log    *slog.Logger
	warned []string // files that the log knows
}

// protect takes the rights of all users to the configuration away.
func (e *exposure) protect() {
	changed, err := uci.Protect(e.o.file())
	switch {
	case err != nil && !slices.Contains(e.warned, ""):
		e.warned = append(e.warned, "")
		e.log.Warn("the configuration can be read and locked by all users", "err", err)
	case changed:
		e.log.Warn(
			"the configuration could be read by all users, and is root's alone now: it is the place of private keys",
			"path", e.o.file())
	}
}

// warn tells once of each other file with a private key that all users can read.
func (e *exposure) warn(uplinks []config.Uplink) {
	for _, path := range e.o.exposedKeys(uplinks) {
		if !slices.Contains(e.warned, path) {
			e.warned = append(e.warned, path)
			e.log.Warn("all users can read the private key: take their rights away", "path", path)
		}
	}
}

// exposedKeys names the files with a private key that all users can read.
func (o options) exposedKeys(uplinks []config.Uplink) (paths []string) {
	tree := o.tree()
	for _, u := range uplinks {
		path := u.KeyFile
		if path == "" {
			if path = o.file(); tree.LoadConfig(config.Package, false) != nil {
				continue
			}
			if key, ok := tree.GetLast(config.Package, u.Name, "private_key"); !ok || key == "" {
				continue
			}
		}
		if uci.Exposed(path) && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}
