package release

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// licenceFile matches the names of files that a module's licence, or a notice that has to go with it, stands in.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|copyright)([.-].*)?$`)

// Licences collects the licences of all modules that are linked into the programs, and Go's own, out of a folder of
// vendored modules and out of a GOROOT. It fails for a module without any: such a program could not be given away.
func Licences(programs []Program, vendor, goroot string) ([]byte, error) {
	dirs := map[string]string{"Go (standard library and runtime)": goroot}
	for _, p := range programs {
		for _, m := range p.Modules {
			dirs[m.Path+" v"+m.Version] = filepath.Join(vendor, filepath.FromSlash(m.Path))
		}
	}
	var names []string
	for name := range dirs {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	fmt.Fprintf(&out, "Licences of what is linked into these programs\n")
	for _, name := range names {
		entries, err := os.ReadDir(dirs[name])
		if err != nil {
			return nil, fmt.Errorf("licence of %s: %w", name, err)
		}
		found := false
		for _, e := range entries {
			if e.IsDir() || !licenceFile.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dirs[name], e.Name()))
			if err != nil {
				return nil, fmt.Errorf("licence of %s: %w", name, err)
			}
			found = true
			fmt.Fprintf(&out, "\n==== %s: %s\n\n%s\n", name, e.Name(), bytes.TrimSpace(text))
		}
		if !found {
			return nil, fmt.Errorf("%s has no licence in %s: find it, or do without the module", name, dirs[name])
		}
	}
	return out.Bytes(), nil
}
