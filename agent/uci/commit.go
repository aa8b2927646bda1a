package uci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Commit brings our uncommitted changes of the packages, or of all if none is named, to stable storage. What others
// have committed since we read a file is kept; a file that our changes leave as it is is not written. After an error
// the changes of that package are still there, to be committed again or reverted.
func (t *Tree) Commit(config ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, name := range t.changed(config) {
		path := filepath.Join(t.configDir, name)
		if err := commit(path, name, t.packages[name].own); err != nil {
			errs = append(errs, fmt.Errorf("cannot commit %s: %w", path, err))
			continue
		}
		delete(t.packages, name)
	}
	return errors.Join(errs...)
}

// changed gives those of the packages, or of all if none is named, that we have changed.
func (t *Tree) changed(names []string) []string {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(t.packages))
	}
	var changed []string
	for _, name := range names {
		if l := t.packages[name]; l != nil && len(l.own) > 0 && !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	return changed
}

// commit makes the changes in the file at path, over and over while others replace it under our hands. Each time it is
// because one of them got ahead, so the limit is never met but by a file system that is broken.
func commit(path, config string, own []change) error {
	path, err := follow(path)
	if err != nil {
		return err
	}
	for range 1000 {
		if err = commitOnce(path, config, own); !errors.Is(err, errMoved) {
			break
		}
	}
	return err
}

// follow gives the file that symbolic links lead to, for rename replaces a link and not what it points at.
func follow(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", errors.New("it is a symbolic link to nowhere: remove it, or make the file that it points at")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// commitOnce gives errMoved if it has to be tried again; nothing has changed then.
func commitOnce(path, config string, own []change) error {
	lock, old, err := lockFile(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	step("locked")
	removeStale(filepath.Dir(path), config)
	step("stale files removed")

	var text []byte
	if old != nil {
		if text, err = io.ReadAll(lock); err != nil {
			return err
		}
	}
	before, after, err := edit(config, text, own)
	if err != nil {
		return err
	}
	if bytes.Equal(before, after) {
		// The program that wrote this, ours included, may have been stopped just before making it last.
		return syncDir(filepath.Dir(path))
	}
	return replace(path, config, old, after)
}

// edit gives the file with and without our changes, both as Commit would write it.
func edit(config string, text []byte, own []change) (before, after []byte, err error) {
	p, err := parse(config, text)
	if err != nil {
		return nil, nil, err
	}
	before = p.file()
	unnamed := map[string]string{}
	for _, c := range own {
		if err := c.apply(p, unnamed); errors.Is(err, ErrNoSection) {
			return nil, nil, fmt.Errorf(
				"%w in the file: another program deleted it, or has not committed it yet; read the package again", err)
		} else if err != nil {
			return nil, nil, err
		}
	}
	after = p.file()
	// Names that look like generated ones can make two sections one.
	if again, err := parse(config, after); err != nil || !bytes.Equal(again.file(), after) {
		return nil, nil, errors.New(
			"the result would not be read back as it is: look for sections named cfg…, and name them otherwise")
	}
	return before, after, nil
}
