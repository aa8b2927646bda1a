package guest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// save writes a folder to a block device as a tar archive, and returns when it is there to stay.
func save(dir, device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	if err := errors.Join(w.Close(), f.Sync()); err != nil {
		return fmt.Errorf("keep %s: %w", dir, err)
	}
	return nil
}

// restore fills a folder from a block device that save has written; an empty one changes nothing.
func restore(dir, device string) error {
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("restore %s: %w", dir, err)
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = extract(dir, h, r)
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w", dir, err)
		}
	}
}

func extract(dir string, h *tar.Header, r io.Reader) error {
	if !filepath.IsLocal(h.Name) {
		return fmt.Errorf("%s: not inside the folder", h.Name)
	}
	name := filepath.Join(dir, h.Name)
	perm := fs.FileMode(h.Mode) & fs.ModePerm
	if h.Typeflag == tar.TypeDir {
		return os.MkdirAll(name, perm)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(name, b, perm), os.Chmod(name, perm))
}
