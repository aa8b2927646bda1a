package uci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Tree is the packages of one folder, with the staged changes of another over them and our own uncommitted ones over
// those. Packages are read when first asked for, and again after a Commit or Revert of them; reading waits while
// another program commits, but not for longer than a commit can take. It is safe for concurrent use.
//
// Where a method takes a section, it takes its name (for one without, the generated name), or "@type[n]" for the n-th
// of the type, from 0, or if negative from the last one, -1.
type Tree struct {
	configDir, saveDir string

	mu       sync.Mutex
	packages map[string]*loaded
}

// loaded is a package as this Tree shows it.
type loaded struct {
	view *pkg
	own  []change // in view already, but not in the file
}

// NewTree gives the tree of the files in configDir with the staged changes in saveDir, by libuci's defaults
// "/etc/config" and "/tmp/.uci". With saveDir "" there are no staged changes. Nothing is read yet.
func NewTree(configDir, saveDir string) *Tree {
	return &Tree{configDir: configDir, saveDir: saveDir, packages: map[string]*loaded{}}
}

// LoadConfig reads a package, unless it has been read before. With force it is read in any case, and our own
// uncommitted changes of it are dropped, as with Revert. The error wraps os.ErrNotExist if there is no file, even when
// changes are staged, and a *ParseError if libuci would not read it either.
func (t *Tree) LoadConfig(config string, force bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if force {
		delete(t.packages, config)
	}
	_, err := t.load(config)
	return err
}

// GetSections gives the names of the sections of a type, in the order of the file, or of all if the type is "". It
// gives false if there is no such package, or no reading it.
func (t *Tree) GetSections(config, secType string) ([]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, err := t.load(config)
	if err != nil {
		return nil, false
	}
	var names []string
	for _, s := range l.view.sections {
		if secType == "" || s.typ == secType {
			names = append(names, s.name)
		}
	}
	return names, true
}

// SectionType gives the type of a section, or false if there is none.
func (t *Tree) SectionType(config, section string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.section(config, section)
	if s == nil {
		return "", false
	}
	return s.typ, true
}

// Options gives the names of a section's options and lists, in the order of the file.
func (t *Tree) Options(config, section string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.section(config, section)
	if s == nil {
		return nil
	}
	var names []string
	for _, o := range s.options {
		if len(o.values) > 0 {
			names = append(names, o.name)
		}
	}
	return names
}

// Get gives the items of a list, or the one value of an option. It gives false if there is none.
func (t *Tree) Get(config, section, option string) ([]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.section(config, section)
	if s == nil {
		return nil, false
	}
	o := s.option(option)
	if o == nil || len(o.values) == 0 {
		return nil, false
	}
	return slices.Clone(o.values), true
}

// GetLast gives the value of an option, or the last item of a list. It gives false if there is none.
func (t *Tree) GetLast(config, section, option string) (string, bool) {
	values, ok := t.Get(config, section, option)
	if !ok {
		return "", false
	}
	return values[len(values)-1], true
}

// GetBool gives the value of an option that is one of the words OpenWrt has for a boolean (config_get_bool in
// /lib/functions.sh): 1, on, true, yes, enabled; 0, off, false, no, disabled. If it is another word, or there is none,
// ok is false.
func (t *Tree) GetBool(config, section, option string) (value, ok bool) {
	word, _ := t.GetLast(config, section, option)
	switch word {
	case "1", "on", "true", "yes", "enabled":
		return true, true
	case "0", "off", "false", "no", "disabled":
		return false, true
	}
	return false, false
}

// Export gives a package as "uci export" prints it, with our uncommitted changes. Errors are those of LoadConfig.
func (t *Tree) Export(config string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, err := t.load(config)
	if err != nil {
		return nil, err
	}
	return l.view.export(), nil
}

// Show gives a package as "uci show" prints it, with our uncommitted changes. Errors are those of LoadConfig.
func (t *Tree) Show(config string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, err := t.load(config)
	if err != nil {
		return nil, err
	}
	return l.view.show(), nil
}

// section gives a section, or nil if it or its package cannot be had.
func (t *Tree) section(config, ref string) *section {
	l, err := t.load(config)
	if err != nil {
		return nil
	}
	return l.view.resolve(ref)
}

// load gives a package, from memory if it is there.
func (t *Tree) load(config string) (*loaded, error) {
	if l, ok := t.packages[config]; ok {
		return l, nil
	}
	if err := checkPackage(config); err != nil {
		return nil, err
	}
	view, err := t.read(config)
	if err != nil {
		return nil, err
	}
	l := &loaded{view: view}
	t.packages[config] = l
	return l, nil
}

// read reads the file of a package and what is staged for it. The lock on the file is held meanwhile, because "uci
// commit" empties the staged changes before it replaces the file.
func (t *Tree) read(config string) (*pkg, error) {
	path := filepath.Join(t.configDir, config)
	f, err := openLocked(path, os.O_RDONLY, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	p, err := parse(config, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	staged, err := t.readStaged(config)
	if err != nil {
		return nil, err
	}
	p.applyDeltas(staged)
	return p, nil
}

// readStaged gives the lines of staged changes, none if there is no file.
func (t *Tree) readStaged(config string) ([]byte, error) {
	if t.saveDir == "" {
		return nil, nil
	}
	f, err := openLocked(filepath.Join(t.saveDir, config), os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errIrregular) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
