package config

import (
	"os"
	"slices"
	"strings"
)

// fakeTree is a Reader over maps, filled from text: one statement a line, values in single quotes or bare.
type fakeTree struct {
	packages map[string]*fakePackage
	err      error // of LoadConfig for our own package
	read     []string
}

type fakePackage struct {
	names    []string
	sections map[string]*fakeSection
}

type fakeSection struct {
	typ     string
	options []string
	values  map[string][]string
}

// fake returns a tree with our own package as in text, and no other. Lines before the first section are dropped.
func fake(text string) *fakeTree {
	t := &fakeTree{packages: make(map[string]*fakePackage)}
	t.add(Package, text)
	return t
}

func (t *fakeTree) add(name, text string) {
	p := &fakePackage{sections: make(map[string]*fakeSection)}
	t.packages[name] = p
	var s *fakeSection
	for _, line := range strings.Split(text, "\n") {
		keyword, rest, _ := strings.Cut(strings.TrimLeft(line, "\t "), " ")
		key, value, _ := strings.Cut(rest, " ")
		value = strings.TrimPrefix(value, "'")
		value = strings.TrimSuffix(value, "'")
		switch {
		case keyword == "config":
			if value == "" {
				value = "cfg" + "0123456789abcdef"[len(p.names)%16:][:1] + "1a2b3"
			}
			s = &fakeSection{typ: key, values: make(map[string][]string)}
			p.sections[value] = s
			p.names = append(p.names, value)
		case s == nil:
		case keyword == "option":
			s.options = append(s.options, key)
			s.values[key] = []string{value}
		case keyword == "list":
			if _, ok := s.values[key]; !ok {
				s.options = append(s.options, key)
			}
			s.values[key] = append(s.values[key], value)
		}
	}
}

func (t *fakeTree) LoadConfig(config string, force bool) error {
	if config == Package && t.err != nil {
		return t.err
	}
	if t.packages[config] == nil {
		return &os.PathError{Op: "open", Path: "/etc/config/" + config, Err: os.ErrNotExist}
	}
	return nil
}

func (t *fakeTree) GetSections(config, secType string) ([]string, bool) {
	p := t.packages[config]
	if p == nil {
		return nil, false
	}
	return slices.Clone(p.names), true
}

func (t *fakeTree) section(config, section string) *fakeSection {
	if p := t.packages[config]; p != nil {
		return p.sections[section]
	}
	return nil
}

func (t *fakeTree) SectionType(config, section string) (string, bool) {
	if s := t.section(config, section); s != nil {
		return s.typ, true
	}
	return "", false
}

func (t *fakeTree) Options(config, section string) []string {
	if s := t.section(config, section); s != nil {
		return slices.Clone(s.options)
	}
	return nil
}

func (t *fakeTree) Get(config, section, option string) ([]string, bool) {
	t.read = append(t.read, config+"."+section+"."+option)
	if s := t.section(config, section); s != nil {
		v, ok := s.values[option]
		return v, ok
	}
	return nil, false
}
