package uci

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pkg is one package: the sections in their order.
type pkg struct {
	name     string
	sections []*section
	// made counts the sections that were ever added. The names of unnamed ones are numbered by it.
	made int
}

type section struct {
	name      string // never empty: generated if anonymous
	typ       string
	anonymous bool
	options   []*option
}

// option is an option or, if list, a list. Only a list can be empty, after its items were deleted one by one; to those
// who ask it is not there, and it does not survive a commit.
type option struct {
	name   string
	list   bool
	values []string
}

// add appends a section; without a name it is anonymous.
func (p *pkg) add(name, typ string) *section {
	p.made++
	s := &section{name: name, typ: typ, anonymous: name == ""}
	if s.anonymous {
		s.name = generatedName(p.made, typ)
	}
	p.sections = append(p.sections, s)
	return s
}

// generatedName is what libuci calls the n-th section (from 1) if it has no name: "cfg", n in hex, and the low 16 bits
// of D. J. Bernstein's hash of the type (uci_fixup_section in list.c; the options, which it hashes too, come only
// later).
func generatedName(n int, typ string) string {
	hash := uint32(5381)
	for i := range len(typ) {
		hash = hash*33 + uint32(typ[i])
	}
	return fmt.Sprintf("cfg%02x%04x", n, hash&0xffff)
}

// lookup gives the section of that name, or nil.
func (p *pkg) lookup(name string) *section {
	for _, s := range p.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// resolve gives the section that ref names, or nil: by its name, or as "@type[n]", the n-th section of the type, from
// 0, or if negative from the last one, -1. "@[n]" counts sections of all types.
func (p *pkg) resolve(ref string) *section {
	if !strings.HasPrefix(ref, "@") {
		return p.lookup(ref)
	}
	typ, index, ok := strings.Cut(strings.TrimSuffix(ref[1:], "]"), "[")
	n, err := strconv.Atoi(index)
	if !ok || err != nil || !strings.HasSuffix(ref, "]") {
		return nil
	}
	var of []*section
	for _, s := range p.sections {
		if typ == "" || s.typ == typ {
			of = append(of, s)
		}
	}
	if n < 0 {
		n += len(of)
	}
	if n < 0 || n >= len(of) {
		return nil
	}
	return of[n]
}

func (p *pkg) remove(s *section) {
	p.sections = slices.DeleteFunc(p.sections, func(have *section) bool { return have == s })
}

// move puts a section at the index, or at the nearest end.
func (p *pkg) move(s *section, index int) {
	p.remove(s)
	index = max(0, min(index, len(p.sections)))
	p.sections = append(p.sections, s)
	copy(p.sections[index+1:], p.sections[index:])
	p.sections[index] = s
}

// option gives the option or list of that name, or nil.
func (s *section) option(name string) *option {
	for _, o := range s.options {
		if o.name == name {
			return o
		}
	}
	return nil
}

// place gives the option of that name; a new one comes last.
func (s *section) place(name string) *option {
	o := s.option(name)
	if o == nil {
		o = &option{name: name}
		s.options = append(s.options, o)
	}
	return o
}

// set gives an option or list its values, in the place where it was. It may have been either.
func (s *section) set(name string, list bool, values ...string) {
	o := s.place(name)
	o.list, o.values = list, values
}

// append adds an item to a list. An option becomes a list of two.
func (s *section) append(name, value string) {
	o := s.place(name)
	o.list, o.values = true, append(o.values, value)
}

func (s *section) remove(o *option) {
	s.options = slices.DeleteFunc(s.options, func(have *option) bool { return have == o })
}
