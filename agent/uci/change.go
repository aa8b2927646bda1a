package uci

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// OptionType says whether something is an option, with one value, or a list.
type OptionType int

// What a value can be.
const (
	TypeOption OptionType = iota // option name 'value'
	TypeList                     // list name 'item'
)

// ErrNoSection is inside the error when a change is about a section that is not there.
var ErrNoSection = errors.New("no such section")

// change is one of our own. Unlike a staged one it can give all items of a list at once.
type change struct {
	action          action
	section, option string
	typ             string // of the section, or "" in a change of an option
	list            bool
	values          []string
}

type action int

const (
	setOption action = iota
	deleteOption
	addSection
	addUnnamed // section is the name that it was given before the commit
	deleteSection
)

// apply makes our change. The names of unnamed sections added before are looked up in, or added to, the map unnamed.
func (c change) apply(p *pkg, unnamed map[string]string) error {
	name := c.section
	if actual, ok := unnamed[name]; ok {
		name = actual
	}
	s := p.lookup(name)
	switch c.action {
	case setOption:
		if s == nil {
			return fmt.Errorf("option %s: section %q: %w", c.option, c.section, ErrNoSection)
		}
		s.set(c.option, c.list, c.values...)
	case deleteOption:
		if s != nil {
			if o := s.option(c.option); o != nil {
				s.remove(o)
			}
		}
	case addSection:
		if s != nil && s.typ != c.typ {
			return fmt.Errorf(
				"section %q is there already and has the type %q, not %q: delete it first, or take another name",
				c.section, s.typ, c.typ)
		}
		if s == nil {
			p.add(name, c.typ)
		}
	case addUnnamed:
		unnamed[c.section] = p.add("", c.typ).name
	case deleteSection:
		if s != nil {
			p.remove(s)
		}
	}
	return nil
}

// Set gives an option its value. With several values it becomes a list; with one that is empty, or none, it is deleted,
// since UCI has no empty options. What stood there before, an option or a list, is replaced in its place. The section
// must be there. Values may have line ends and tabs, but no other control characters.
func (t *Tree) Set(config, section, option string, values ...string) error {
	typ := TypeOption
	if len(values) > 1 {
		typ = TypeList
	}
	return t.SetType(config, section, option, typ, values...)
}

// SetType does what Set does, but with TypeList also one value makes a list, and an empty one is an item of it.
func (t *Tree) SetType(config, section, option string, typ OptionType, values ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := checkValues(values)
	if err == nil && typ != TypeList && len(values) > 1 {
		err = fmt.Errorf("an option has one value, not %d: make it a list", len(values))
	}
	if err == nil {
		c := change{action: setOption, section: section, option: option, list: typ == TypeList,
			values: slices.Clone(values)}
		if len(values) == 0 || !c.list && values[0] == "" {
			c.action = deleteOption
		}
		err = t.change(config, c)
	}
	if err != nil {
		return fmt.Errorf("cannot set %s.%s.%s: %w", config, section, option, err)
	}
	return nil
}

// Del deletes an option or list. It is no error if there is none.
func (t *Tree) Del(config, section, option string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.change(config, change{action: deleteOption, section: section, option: option}); err != nil {
		return fmt.Errorf("cannot delete %s.%s.%s: %w", config, section, option, err)
	}
	return nil
}

// AddSection appends a section. If there is one of that name and type, it stays as it is. With name "" the section has
// no name; until the next change it is "@type[-1]". If the package has no file, Commit makes one that only its owner
// can read.
func (t *Tree) AddSection(config, section, typ string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := change{action: addSection, section: section, typ: typ}
	if section == "" {
		c.action = addUnnamed
	}
	if err := t.change(config, c); err != nil {
		return fmt.Errorf("cannot add %s.%s: %w", config, section, err)
	}
	return nil
}

// DelSection deletes a section and all that is in it. It is no error if there is none.
func (t *Tree) DelSection(config, section string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.change(config, change{action: deleteSection, section: section}); err != nil {
		return fmt.Errorf("cannot delete %s.%s: %w", config, section, err)
	}
	return nil
}

// Revert drops our uncommitted changes of the packages, or of all if none is named.
func (t *Tree) Revert(config ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.changed(config) {
		delete(t.packages, name)
	}
}

// change checks a change, makes it in the view, and keeps it for Commit.
func (t *Tree) change(config string, c change) error {
	l, err := t.load(config)
	if errors.Is(err, fs.ErrNotExist) {
		if c.action == deleteOption || c.action == deleteSection {
			return nil
		}
		l, err = &loaded{view: &pkg{name: config}}, nil
	}
	if err != nil {
		return err
	}
	if err := l.check(&c); err != nil {
		return err
	}
	unnamed := map[string]string{}
	if err := c.apply(l.view, unnamed); err != nil {
		return err
	}
	if c.action == addUnnamed {
		c.section = unnamed[""]
	}
	l.own = append(l.own, c)
	t.packages[config] = l
	return nil
}

// check refuses what libuci would not take, and replaces a reference to a section by its name, which stays the same
// when sections come and go.
func (l *loaded) check(c *change) error {
	switch c.action {
	case setOption, deleteOption:
		if !validName(c.option) {
			return fmt.Errorf("%q is %w", c.option, errName)
		}
	case addSection:
		if !validName(c.section) {
			return fmt.Errorf("%q is %w", c.section, errName)
		}
		fallthrough
	case addUnnamed:
		if !validType(c.typ) {
			return fmt.Errorf("%q is %w", c.typ, errType)
		}
		return nil
	}
	if s := l.view.resolve(c.section); s != nil {
		c.section = s.name
	} else if c.action == setOption {
		return fmt.Errorf("%w: add it first", ErrNoSection)
	}
	return nil
}
