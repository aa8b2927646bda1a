// Package release says what is in the programs of a release: their modules as a CycloneDX document, their licences, and
// whether any of it has a known vulnerability. All of it comes out of what the Go linker wrote into the program itself.
package release

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"strings"
)

// A Program is what one program says of itself.
type Program struct {
	Path    string
	Go      string // such as "1.23.12"
	Tags    string
	Modules []Module // linked, without the main module, by path
}

// A Module is one module that is linked in.
type Module struct {
	Path, Version string
}

// Name is the program's name in messages and documents: its last two folders tell it from the others.
func (p Program) Name() string {
	parts := strings.Split(filepath.ToSlash(p.Path), "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// Read reads what the linker wrote into a program, as "go version -m" prints it. It fails for a file that is no program
// of Go's with modules.
func Read(path string) (Program, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return Program{}, fmt.Errorf("%s: %w", path, err)
	}
	p := Program{Path: path, Go: strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			p.Tags = s.Value
		}
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		p.Modules = append(p.Modules, Module{dep.Path, strings.TrimPrefix(dep.Version, "v")})
	}
	return p, nil
}

// ReadAll reads several programs.
func ReadAll(paths []string) ([]Program, error) {
	var programs []Program
	for _, path := range paths {
		p, err := Read(path)
		if err != nil {
			return nil, err
		}
		programs = append(programs, p)
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("no program is named")
	}
	return programs, nil
}
