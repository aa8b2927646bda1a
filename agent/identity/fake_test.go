package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// fakeTree keeps each package in a file of lines "section.option=value", so that processes can share it.
type fakeTree struct {
	dir    string
	loaded map[string]map[string]string
	staged map[string]map[string]string

	setErr, commitErr error
	commits           []string
	// afterCommit runs when a commit is on disk, as another program would meddle.
	afterCommit func()
}

func newFakeTree(dir string) *fakeTree {
	return &fakeTree{dir: dir, loaded: map[string]map[string]string{}, staged: map[string]map[string]string{}}
}

func (t *fakeTree) file(config string) string { return filepath.Join(t.dir, config) }

func (t *fakeTree) read(config string) (map[string]string, error) {
	raw, err := os.ReadFile(t.file(config))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%s: no '='", config)
		}
		values[name] = value
	}
	return values, nil
}

func (t *fakeTree) LoadConfig(config string, force bool) error {
	if _, ok := t.loaded[config]; ok && !force {
		return nil
	}
	values, err := t.read(config)
	if err != nil {
		return err
	}
	t.loaded[config] = values
	delete(t.staged, config)
	return nil
}

func (t *fakeTree) GetLast(config, section, option string) (string, bool) {
	name := section + "." + option
	if v, ok := t.staged[config][name]; ok {
		return v, true
	}
	v, ok := t.loaded[config][name]
	return v, ok
}

func (t *fakeTree) Set(config, section, option string, values ...string) error {
	if t.setErr != nil {
		return t.setErr
	}
	if len(values) != 1 {
		return errors.New("fake: one value only")
	}
	if t.staged[config] == nil {
		t.staged[config] = map[string]string{}
	}
	t.staged[config][section+"."+option] = values[0]
	return nil
}

func (t *fakeTree) Commit(configs ...string) error {
	t.commits = append(t.commits, configs...)
	if t.commitErr != nil {
		return t.commitErr
	}
	for _, config := range configs {
		values, err := t.read(config)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for name, value := range t.staged[config] {
			values[name] = value
		}
		names := make([]string, 0, len(values))
		for name := range values {
			names = append(names, name)
		}
		sort.Strings(names)
		var b strings.Builder
		for _, name := range names {
			fmt.Fprintf(&b, "%s=%s\n", name, values[name])
		}
		tmp := fmt.Sprintf("%s.%d", t.file(config), os.Getpid())
		if err := os.WriteFile(tmp, []byte(b.String()), 0o600); err != nil {
			return err
		}
		if err := os.Rename(tmp, t.file(config)); err != nil {
			return err
		}
		t.loaded[config] = values
		delete(t.staged, config)
	}
	if t.afterCommit != nil {
		t.afterCommit()
	}
	return nil
}

func (t *fakeTree) Revert(configs ...string) {
	for _, config := range configs {
		delete(t.staged, config)
	}
}
