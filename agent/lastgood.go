package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/uci"
)

// What is kept below the state folder for when the configuration file is damaged. None of it is a private key.
const (
	lastGood   = "last-good"   // folder, with the last configuration that could be read, and:
	publicKeys = "public-keys" // a line "UPLINK PUBLIC-KEY" for each key that was in use
)

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

// loadKept reads the configuration that could be read last.
func (o options) loadKept() (*config.Run, error) {
	dir := o.lastGood()
	kept := keptReader{uci.NewTree(dir, ""), o.tree()}
	return config.LoadToRun(kept, filepath.Join(dir, config.Package))
}

// keepConfig stores the configuration as it is on disk now, and forgets the keys of uplinks that are no more.
func (o options) keepConfig(uplinks []config.Uplink) error {
	next, err := config.Public(o.tree(), o.file())
	if err != nil {
		return err
	}
	if err := o.keep(config.Package, next); err != nil {
		return err
	}
	known := o.knownKeys()
	lines := slices.DeleteFunc(slices.Clone(known), func(l string) bool {
		name, _, _ := strings.Cut(l, " ")
		return !slices.ContainsFunc(uplinks, func(u config.Uplink) bool { return u.Name == name })
	})
	if len(lines) == len(known) {
		return nil
	}
	return o.keep(publicKeys, []byte(strings.Join(lines, "")))
}

// knownKeys gives the lines of the public keys that were in use, each with its line end.
func (o options) knownKeys() []string {
	text, err := os.ReadFile(filepath.Join(o.lastGood(), publicKeys))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.SplitAfter(string(text), "\n"),
		func(l string) bool { return !strings.HasSuffix(l, "\n") })
}

// knownKey gives the public key that an uplink had last.
func (o options) knownKey(uplink string) (wgtypes.Key, bool) {
	for _, l := range o.knownKeys() {
		if text, ok := strings.CutPrefix(strings.TrimSpace(l), uplink+" "); ok {
			key, err := wgtypes.ParseKey(text)
			return key, err == nil
		}
	}
	return wgtypes.Key{}, false
}

// keepKey stores which public key an uplink has.
func (o options) keepKey(uplink string, key wgtypes.Key) error {
	lines := slices.DeleteFunc(o.knownKeys(), func(l string) bool { return strings.HasPrefix(l, uplink+" ") })
	lines = append(lines, fmt.Sprintf("%s %s\n", uplink, key))
	slices.Sort(lines)
	return o.keep(publicKeys, []byte(strings.Join(lines, "")))
}

// keep makes a file of the folder hold the text, where it does not yet: flash wears. The old one stays until the new
// one is whole on the disk.
func (o options) keep(name string, text []byte) (err error) {
	dir := o.lastGood()
	name = filepath.Join(dir, name)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a write that was cut short
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
