package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Damage is the error of a file that is there, but nothing can be made of it.
type Damage struct {
	File string
	Err  error
}

func (d *Damage) Error() string {
	return "cannot read " + d.File + ": the file is empty or damaged: " + d.Err.Error()
}

func (d *Damage) Unwrap() error { return d.Err }

// open reads the file. The error is a *Damage where its content is no UCI.
func open(tree Reader, file string) (*loader, error) {
	err := tree.LoadConfig(Package, true)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf(
			"there is no %s: install the package %s, or make the file, starting with the line \"config %s 'mesh'\": %w",
			file, Package, typeUplink, err)
	}
	// What the parser skips can be all that is left of the file, so its bytes are looked at first.
	if damage := hollow(file); damage != nil {
		return nil, &Damage{file, damage}
	}
	var access *fs.PathError
	switch {
	case err == nil:
		return &loader{tree: tree, file: file}, nil
	case errors.As(err, &access) && !errors.Is(err, syscall.EIO):
		return nil, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return nil, &Damage{file, err}
}

// hollow says what of the file a power cut has taken; nil when nothing, or when that cannot be told.
func hollow(file string) error {
	const remedy = ", as after a power cut; restore it from a copy, or write it anew"
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	if len(bytes.Trim(content, " \t\r\n")) == 0 {
		return errors.New("there is nothing in it" + remedy)
	}
	if i := bytes.IndexByte(content, 0); i >= 0 {
		return fmt.Errorf("there are NUL bytes in it, from byte %d on%s", i, remedy)
	}
	return nil
}
