package config

import (
	"slices"
	"strconv"
	"strings"
)

// Reader is what Load needs of a tree of UCI files. uci.Tree is the real one.
type Reader interface {
	// LoadConfig reads a package, again if force is set. It returns os.ErrNotExist when there is no such file.
	LoadConfig(config string, force bool) error
	// GetSections returns the names of all sections of a type, in order; of all types when secType is "".
	GetSections(config, secType string) ([]string, bool)
	SectionType(config, section string) (string, bool)
	// Options returns the names of a section's options, in order.
	Options(config, section string) []string
	// Get returns the values of a list, or the one value of an option.
	Get(config, section, option string) ([]string, bool)
}

// File is where a router has the configuration.
const File = "/etc/config/" + Package

// Load reads and checks the configuration. The error is of type Problems, and complete, when the content is wrong; it
// wraps os.ErrNotExist when there is no file, and the tree's error when it cannot be read.
//
// The packages wguplink and system are read anew, so the tree loses changes of its own that are not committed.
func Load(tree Reader) (*Config, error) { return LoadFile(tree, File) }

// LoadFile does what Load does. Its errors call the file by the given path, for a tree that is somewhere else.
func LoadFile(tree Reader, file string) (*Config, error) {
	l, err := open(tree, file)
	if err != nil {
		return nil, err
	}
	l.readAll()
	cfg := l.check()
	if len(l.problems) > 0 {
		l.problems = append(append(l.problems, l.unused...), l.doubts...)
		return nil, l.sorted()
	}
	cfg.Unused, cfg.Doubts = l.unused, l.doubts
	return cfg, nil
}

// loader collects the sections of one file and what is wrong with them.
type loader struct {
	tree     Reader
	file     string
	sections []string // as people are told, in order
	drafts   []*draft
	problems Problems
	unused   Problems // options that are out of their scope
	doubts   Problems // values that fit no usual line
	fatal    Problems // those of them that make an uplink impossible

	lenient bool // as LoadToRun reads
	fixes
}

// complain adds a problem with an option's value, or with the whole section when option is "".
func (l *loader) complain(section, option, value, reason, allowed string) {
	l.problems = append(l.problems, Problem{l.file, section, option, value, reason, allowed})
}

// refuse is complain for what no default mends.
func (l *loader) refuse(section, option, value, reason, allowed string) {
	l.complain(section, option, value, reason, allowed)
	l.fatal = append(l.fatal, l.problems[len(l.problems)-1])
}

// value returns what the file says for an option, the items of a list side by side.
func (l *loader) value(d *draft, option string) string {
	values, _ := l.tree.Get(Package, d.name, option)
	return strings.Join(values, " ")
}

// sorted returns the problems in the order of the sections, since checks across sections come last.
func (l *loader) sorted() Problems {
	var all Problems
	for i := -1; i < len(l.sections); i++ {
		for _, p := range l.problems {
			if slices.Index(l.sections, p.Section) == i {
				all = append(all, p)
			}
		}
	}
	return all
}

// readAll reads every section on its own.
func (l *loader) readAll() {
	names, _ := l.tree.GetSections(Package, "")
	count := make(map[string]int)
	for _, name := range names {
		typ, _ := l.tree.SectionType(Package, name)
		d := &draft{name: name, shown: name, typ: typ, given: make(map[string]bool), partly: make(map[string]bool)}
		if isAnonymous(name) {
			d.shown = "@" + typ + "[" + strconv.Itoa(count[typ]) + "]"
		}
		count[typ]++
		l.sections = append(l.sections, d.shown)
		options := table(typ)
		if options == nil {
			l.complain(d.shown, "", typ, "unknown type of section", allTypes)
			if l.lenient && near(typ, typeUplink, 2) {
				d.typ, l.out[d.shown] = typeUplink, verdict{reason: l.problems[len(l.problems)-1].Error()}
				l.drafts = append(l.drafts, d)
			}
			continue
		}
		l.readSection(d, options)
		l.drafts = append(l.drafts, d)
	}
}

// readSection applies the defaults, then what the section says, in its own order.
func (l *loader) readSection(d *draft, options []option) {
	for _, o := range options {
		if o.def != "" {
			o.set(d, o.def)
		}
	}
	known := d.typ == typeUplink && l.readScope(d, options)
	seen := make(map[string]bool)
	for _, name := range l.tree.Options(Package, d.name) {
		if seen[name] {
			continue
		}
		seen[name] = true
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		if i < 0 {
			// The value stays out of the message: it may be the key, under a misspelt name.
			allowed := "the options in docs/configuration.md"
			if near := Nearest(name, names(options)); near != "" {
				allowed = quote(near) + ", the nearest of " + allowed
			}
			l.complain(d.shown, name, "", "unknown option", allowed)
			continue
		}
		if known && l.outside(d, options[i]) {
			continue
		}
		if options[i].set != nil && !l.ignored[d.shown+"."+name] {
			l.readOption(d, options[i])
		}
	}
}

// values returns what the file says for an option, without empty values.
func (l *loader) values(d *draft, option string) []string {
	values, _ := l.tree.Get(Package, d.name, option)
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// readOption takes an option where a list is expected and the reverse, as long as that can mean only one thing. An
// empty value is no value, as for OpenWrt's own scripts.
func (l *loader) readOption(d *draft, o option) {
	values := l.values(d, o.name)
	if len(values) == 0 {
		return
	}
	d.given[o.name] = true
	if !o.list && len(values) > 1 {
		d.given[o.name] = false
		l.complain(d.shown, o.name, values[1], "a second value, but only one can be", o.allowed)
		return
	}
	good := 0
	for _, v := range values {
		if o.set(d, v) {
			good++
		} else {
			d.given[o.name] = false
			if o.name == "broker" {
				v = hidePassword(v)
			}
			l.complain(d.shown, o.name, v, "not valid", o.allowed)
			if l.lenient && strings.HasPrefix(o.name, "limit_") && v != "" && strings.Trim(v, "0123456789") == "" {
				o.set(d, strconv.Itoa(MaxLimit)) // too much for a number that we know
				good++
			}
		}
	}
	if l.lenient && good > 0 {
		d.given[o.name], d.partly[o.name] = true, good < len(values) || !d.given[o.name]
	}
}

func names(options []option) (all []string) {
	for _, o := range options {
		all = append(all, o.name)
	}
	return all
}

// isAnonymous tells whether libuci made this name up: "cfg", the section's number in two or more hexadecimal digits,
// and a digest in four.
func isAnonymous(name string) bool {
	return len(name) >= 9 && name[:3] == "cfg" && strings.Trim(name[3:], "0123456789abcdef") == ""
}
