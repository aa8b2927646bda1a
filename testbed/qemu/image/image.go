// Package image gets kernels, and makes the initramfs that a machine of the lab boots from.
package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/cpio"
	"wguplink/testbed/qemu/guest"
)

// Kernel is a kernel with its modules.
type Kernel struct {
	Path    string
	Modules []string // files, in the order in which they load
	Busybox string   // "" where there is none
}

// GetKernel gets a board's kernel, from the cache where it is there. root is the project's folder. A kernel that has to
// be built takes ten minutes and more.
func GetKernel(ctx context.Context, root string, b board.Board) (k Kernel, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", b.Script), b.ScriptArgs...)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	if err != nil {
		return k, fmt.Errorf("kernel for %s: %s: %w\n%s", b.Arch, b.Script, err, &progress)
	}
	path := strings.TrimSpace(string(out))
	if b.NoModules {
		return Kernel{Path: path}, nil
	}
	k = Kernel{Path: filepath.Join(path, "vmlinuz"), Busybox: filepath.Join(path, "busybox")}
	k.Modules, err = filepath.Glob(filepath.Join(path, "modules", "*.ko"))
	if err == nil && len(k.Modules) == 0 {
		err = errors.New("no modules")
	}
	if err != nil {
		return k, fmt.Errorf("kernel for %s: %w", b.Arch, err)
	}
	slices.Sort(k.Modules)
	return k, nil
}

// Initrd is what goes into an initramfs.
type Initrd struct {
	Kernel  Kernel
	Without string // a module that is left out, such as wireguard; "" for none
	Init    string // file of the first process
	Config  guest.Config
	// Programs are files to be put into /usr/bin, by their names there.
	Programs map[string]string
	// Files are other files, by their absolute names.
	Files map[string]string
}

// Write makes the initramfs.
func (i Initrd) Write(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	if err := i.write(cpio.New(f)); err != nil {
		return fmt.Errorf("initramfs %s: %w", name, err)
	}
	return f.Close()
}

func (i Initrd) write(a *cpio.Writer) error {
	add := func(name, file string) error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return a.File(name, 0o755, b)
	}
	config, err := json.Marshal(i.Config)
	if err != nil {
		return err
	}
	// The first process has no other console to complain on than the kernel's node.
	err = errors.Join(a.Char("/dev/console", 0o600, 5, 1), a.File(guest.ConfigFile, 0o644, config),
		add("/init", i.Init),
		a.Dir("/etc/config"), a.Dir("/srv"),
		a.File("/etc/passwd", 0o644, []byte("root:x:0:0:root:/tmp:/bin/sh\n")),
		a.File("/etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\n%s:x:%d:\n", guest.AgentGroup, guest.AgentGID)))
	if err != nil {
		return err
	}
	for name, file := range i.Programs {
		if err := add("/usr/bin/"+name, file); err != nil {
			return err
		}
	}
	for name, file := range i.Files {
		if err := add(name, file); err != nil {
			return err
		}
	}
	if i.Kernel.Busybox != "" {
		if err := errors.Join(add("/bin/busybox", i.Kernel.Busybox), a.Link("/bin/sh", "busybox")); err != nil {
			return err
		}
	}
	for _, m := range i.Kernel.Modules {
		name := filepath.Base(m)
		if i.Without != "" && strings.HasSuffix(name, "-"+i.Without+".ko") {
			continue
		}
		if err := add(guest.ModuleDir+"/"+name, m); err != nil {
			return err
		}
	}
	return a.Close()
}
