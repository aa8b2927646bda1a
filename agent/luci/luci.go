// Package luci is what LuCI's pages need beside the agent's own object on ubus: the configuration without keys, changes
// to it that are checked before they are written, and the doctor's findings. It works without a running agent.
//
// rpcd offers it on ubus as the object luci.wguplink. It runs a plug-in with "list", which prints the methods with an
// example of each argument, and with "call METHOD", which has the arguments as JSON on standard input and the answer as
// JSON on standard output (openwrt/rpcd, plugin.c). What went wrong is a string "error" in the answer: rpcd passes no
// text of a failure on.
package luci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"wguplink/agent/config"
	"wguplink/agent/json"
)

// Tree is the UCI files. uci.Tree is the real one.
type Tree interface {
	config.Reader
	Set(config, section, option string, values ...string) error
	SetList(config, section, option string, values ...string) error
	Del(config, section, option string) error
	AddSection(config, section, typ string) error
	DelSection(config, section string) error
	Commit(config ...string) error
	Revert(config ...string)
}

// Plugin answers rpcd.
type Plugin struct {
	Tree Tree
	File string // of the configuration, for messages
	// Changed is called after the configuration was written, so that the service takes it.
	Changed func() error
	// Doctor starts an examination when start is set and none is under way, of one uplink or of all (""). It returns
	// the last one's findings as JSON; nil while it is under way, or when there was none.
	Doctor func(uplink string, start bool) (json.RawMessage, error)
}

// methods is what "list" prints: see the package.
const methods = `{"config":{},"apply":{"add":{},"set":{},"remove":[]},"doctor":{"uplink":"","start":false}}`

// maxInput bounds the arguments, in bytes; ubusd takes no larger message (UBUS_MAX_MSGLEN).
const maxInput = 1 << 20

// Run is one run by rpcd, with its arguments. The error is a wrong use of the program.
func (p *Plugin) Run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 1 && args[0] == "list" {
		_, err := io.WriteString(out, methods+"\n")
		return err
	}
	if len(args) != 2 || args[0] != "call" {
		return errors.New(`"list", or "call" and a method, as rpcd runs a plug-in`)
	}
	var answer any
	var err error
	switch args[1] {
	case "config":
		answer, err = p.config()
	case "apply":
		var c Change
		if err = decode(in, &c); err == nil {
			answer, err = p.apply(c)
		}
	case "doctor":
		var q struct {
			Uplink string `json:"uplink"`
			Start  bool   `json:"start"`
		}
		if err = decode(in, &q); err == nil {
			answer, err = p.doctor(q.Uplink, q.Start)
		}
	default:
		return fmt.Errorf("no method %q; known are config, apply and doctor", args[1])
	}
	if err != nil {
		answer = map[string]string{"error": err.Error()}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

func decode(in io.Reader, to any) error {
	b, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		return fmt.Errorf("the arguments are not what the method takes: %w", err)
	}
	return nil
}

// Problem is one thing that is wrong with the configuration. All but Text may be missing.
type Problem struct {
	Section string `json:"section,omitempty"`
	Option  string `json:"option,omitempty"`
	Text    string `json:"text"` // all of it, as people read it
}

// Answer is what config and apply say.
type Answer struct {
	File     string           `json:"file"`
	Sections []config.Section `json:"sections"`
	Problems []Problem        `json:"problems"` // what keeps an uplink, or an option, from being used
	// Saved tells whether apply has written the changes. When it has not, Problems are those that the changes would
	// bring.
	Saved bool `json:"saved"`
	// Note is why the service may not know of the changes yet; "" when it does.
	Note string `json:"note,omitempty"`
}

func (p *Plugin) config() (*Answer, error) {
	if err := p.load(); err != nil {
		return nil, err
	}
	return &Answer{File: p.File, Sections: config.Sections(p.Tree), Problems: p.problems()}, nil
}

// load reads the file; a missing one is an empty one, which a change makes anew.
func (p *Plugin) load() error {
	if err := p.Tree.LoadConfig(config.Package, true); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot read %s: %w", p.File, err)
	}
	return nil
}

// kept is a tree with changes of ours that are not written: reading the configuration does not read it anew.
type kept struct{ Tree }

func (k kept) LoadConfig(name string, force bool) error {
	return k.Tree.LoadConfig(name, force && name != config.Package)
}

// problems checks the configuration as the agent does, with the changes that are not written yet.
func (p *Plugin) problems() []Problem {
	all := []Problem{}
	if sections, _ := p.Tree.GetSections(config.Package, ""); len(sections) == 0 {
		return all
	}
	cfg, err := config.LoadFile(kept{p.Tree}, p.File)
	var several config.Problems
	if cfg != nil {
		several = cfg.Unused
	}
	if err != nil && !errors.As(err, &several) {
		return append(all, Problem{Text: err.Error()})
	}
	for _, one := range several {
		all = append(all, Problem{one.Section, one.Option, one.Shown().Error()})
	}
	return all
}

// Change is what apply takes. Sections are named as in Answer.
type Change struct {
	Add    map[string]string            `json:"add"` // name to type
	Set    map[string]map[string]Values `json:"set"` // section, option, values; none deletes the option
	Remove []string                     `json:"remove"`
}

// Values are those of a list, or the one of an option, which JSON has as a string.
type Values []string

// UnmarshalJSON takes a string or a list of strings.
func (v *Values) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*v = Values{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return errors.New("a value is a string or a list of strings")
	}
	*v = list
	return nil
}

// apply makes the changes, all or none. They are refused when they bring a problem that was not there.
func (p *Plugin) apply(c Change) (*Answer, error) {
	if err := p.load(); err != nil {
		return nil, err
	}
	before := p.problems()
	if err := p.change(c); err != nil {
		p.Tree.Revert(config.Package)
		return nil, err
	}
	a := &Answer{File: p.File, Problems: []Problem{}}
	for _, now := range p.problems() {
		if !slices.Contains(before, now) {
			a.Problems = append(a.Problems, now)
		}
	}
	if len(a.Problems) > 0 {
		p.Tree.Revert(config.Package)
		a.Sections = config.Sections(p.Tree)
		return a, nil
	}
	if err := p.Tree.Commit(config.Package); err != nil {
		return nil, err
	}
	a.Saved = true
	if err := p.Changed(); err != nil {
		a.Note = err.Error()
	}
	if err := p.load(); err != nil {
		return nil, err
	}
	a.Sections, a.Problems = config.Sections(p.Tree), p.problems()
	return a, nil
}

// change makes the changes in memory.
func (p *Plugin) change(c Change) error {
	for _, name := range c.Remove {
		if _, ok := p.Tree.SectionType(config.Package, name); !ok {
			return fmt.Errorf("there is no section %q any more: load the page again", name)
		}
		if err := p.Tree.DelSection(config.Package, name); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(c.Add) {
		if !config.HasType(c.Add[name]) {
			return fmt.Errorf("no type of section %q", c.Add[name])
		}
		if why := config.CheckName(p.Tree, name); why != "" {
			return fmt.Errorf("section %q: %s", name, why)
		}
		if err := p.Tree.AddSection(config.Package, name, c.Add[name]); err != nil {
			return err
		}
	}
	for _, name := range sortedNames(c.Set) {
		typ, ok := p.Tree.SectionType(config.Package, name)
		if !ok {
			return fmt.Errorf("there is no section %q any more: load the page again", name)
		}
		for _, option := range sortedNames(c.Set[name]) {
			list, ok := config.CanSet(typ, option)
			if !ok {
				return fmt.Errorf("section %q: option %q cannot be written from here", name, option)
			}
			if err := p.set(name, option, list, c.Set[name][option]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Plugin) set(section, option string, list bool, values Values) error {
	values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
	switch {
	case len(values) == 0:
		return p.Tree.Del(config.Package, section, option)
	case list:
		return p.Tree.SetList(config.Package, section, option, values...)
	}
	return p.Tree.Set(config.Package, section, option, values...)
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Examination is what doctor says.
type Examination struct {
	Running bool            `json:"running"`
	Results json.RawMessage `json:"results,omitempty"` // as wguplink doctor --json prints them
}

func (p *Plugin) doctor(uplink string, start bool) (*Examination, error) {
	if uplink != "" {
		if err := p.load(); err != nil {
			return nil, err
		}
		if typ, _ := p.Tree.SectionType(config.Package, uplink); typ != "uplink" {
			return nil, fmt.Errorf("no uplink %q in %s", uplink, p.File)
		}
	}
	results, err := p.Doctor(uplink, start)
	if err != nil {
		return nil, err
	}
	return &Examination{Running: results == nil, Results: results}, nil
}
