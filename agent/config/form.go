package config

import (
	"slices"
	"strconv"

	"wguplink/peerselector"
)

// Section is one section of the file as a form may show it: what the tables of options know, without keys.
type Section struct {
	Name      string `json:"name"`
	Title     string `json:"title"` // as Problem names it
	Type      string `json:"type"`
	Anonymous bool   `json:"anonymous,omitempty"`
	// Options has a string for each option and a list of strings for each list.
	Options map[string]any `json:"options"`
	// Secret has the names of options with a value that is never shown: the key, what no table knows, as it may be a
	// key under a misspelt name, and a key in the place of something else.
	Secret []string `json:"secret,omitempty"`
}

// Sections returns the sections of the types that are known, in order. The tree has to have the package loaded.
func Sections(tree Reader) []Section {
	all := []Section{}
	count := make(map[string]int)
	sections, _ := tree.GetSections(Package, "")
	for _, name := range sections {
		typ, _ := tree.SectionType(Package, name)
		options := table(typ)
		s := Section{Name: name, Title: SectionTitle(name, typ, count[typ]), Type: typ, Anonymous: isAnonymous(name),
			Options: map[string]any{}}
		count[typ]++
		if options == nil {
			continue
		}
		for _, option := range tree.Options(Package, name) {
			values, _ := tree.Get(Package, name, option)
			values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
			switch o, ok := settable(typ, option); {
			case len(values) == 0:
			case !ok || slices.ContainsFunc(values, func(v string) bool { return misplacedKey(option, v) }):
				if !slices.Contains(s.Secret, option) {
					s.Secret = append(s.Secret, option)
				}
			case o.list || len(values) > 1:
				for i, v := range values {
					values[i] = shownValue(option, v)
				}
				s.Options[option] = values
			default:
				s.Options[option] = shownValue(option, values[0])
			}
		}
		all = append(all, s)
	}
	return all
}

func shownValue(option, v string) string {
	if option == "broker" {
		return hidePassword(v)
	}
	return v
}

// misplacedKey tells whether a value may be a private key where none belongs. Public keys and pins look the same.
func misplacedKey(option, v string) bool {
	return option != "public_key" && option != "broker_pin" && parseKey(v, new(peerselector.Key))
}

// Shown is the problem as a form may show it: without a value that may be a private key.
func (p Problem) Shown() Problem {
	if misplacedKey(p.Option, p.Value) {
		p.Value = ""
	}
	return p
}

// settable returns the row of an option that a form may show and write.
func settable(typ, name string) (option, bool) {
	for _, o := range table(typ) {
		if o.name == name {
			return o, o.set != nil
		}
	}
	return option{}, false
}

// CanSet tells whether a form may write an option of a type of section, and whether it is a list. The key is not among
// them, and no option that the tables do not know.
func CanSet(typ, name string) (list, ok bool) {
	o, ok := settable(typ, name)
	return o.list, ok
}

// HasType tells whether there is such a type of section.
func HasType(typ string) bool { return table(typ) != nil }

// maxSections bounds what a form can add: more would be a mistake, and fill the flash.
const maxSections = 256

// CheckName says why a form may not add a section of this name; "" when it may.
func CheckName(tree Reader, name string) string {
	sections, _ := tree.GetSections(Package, "")
	switch {
	case !isName(name):
		return "a section's name has letters, digits and underscores"
	case isAnonymous(name):
		return "uci gives such names itself; take another"
	case slices.Contains(sections, name):
		return "there is a section of that name already"
	case len(sections) >= maxSections:
		return "there are " + strconv.Itoa(len(sections)) + " sections already"
	}
	return ""
}
