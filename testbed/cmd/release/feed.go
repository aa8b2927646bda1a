package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"wguplink/testbed/release"
)

// A feed is what "release feed" makes.
type feed struct {
	dump, trees, arch, router, out, apk string
	epoch                               int64
}

func (f feed) write() error {
	dump, err := os.Open(f.dump)
	if err != nil {
		return err
	}
	defer dump.Close()
	packages, err := release.ReadDump(dump)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	for _, p := range packages {
		tree := filepath.Join(f.trees, p.Name+"-"+f.arch)
		if p.All {
			tree = filepath.Join(f.trees, p.Name)
		}
		if f.apk != "" {
			err = f.mkpkg(p, tree)
		} else {
			err = f.ipk(p, tree)
		}
		if err != nil {
			return fmt.Errorf("%s for %s: %w", p.Name, f.router, err)
		}
	}
	if f.apk != "" {
		return nil // apk makes its index itself, and signs it
	}
	index, err := release.Index(f.out)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.out, "Packages"), index, 0o644)
}

func (f feed) ipk(p release.Package, tree string) error {
	content, err := p.IPK(tree, f.router, f.epoch)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.out, p.File(f.router)), content, 0o644)
}

func (f feed) mkpkg(p release.Package, tree string) error {
	work, err := os.MkdirTemp("", "feed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	scripts, copied := filepath.Join(work, "scripts"), filepath.Join(work, "tree")
	if err := os.Mkdir(scripts, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-Rp", tree, copied).CombinedOutput(); err != nil {
		return fmt.Errorf("cp %s: %w: %s", tree, err, out)
	}
	args, err := p.APK(f.router, copied, scripts, f.out)
	if err != nil {
		return err
	}
	cmd := exec.Command(f.apk, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", f.epoch))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s mkpkg: %w: %s", f.apk, err, out)
	}
	return nil
}
