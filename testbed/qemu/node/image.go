package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/vm"
)

// Image is a machine that boots an image of OpenWrt or Gluon.
type Image struct {
	Board board.Board
	Setup board.Boot
	// URL gives the archive that is unpacked at the first boot: the program, and what its package installs.
	URL string
	// Mesh is the address of the mesh interface.
	Mesh string

	v         *vm.VM
	sh        *shell
	installed bool
	loop      bool // no procd service: a loop in the shell stands in for it
}

// Take makes a copy of an image in a folder, and says which board boots it: a disk for x86-64 (.img or .img.gz), or a
// kernel with everything in it for malta (ELF).
func Take(file, dir string) (b board.Board, setup board.Boot, err error) {
	in, err := os.Open(file)
	if err != nil {
		return b, setup, fmt.Errorf("image: %w", err)
	}
	defer in.Close()
	var r io.Reader = in
	if strings.HasSuffix(file, ".gz") {
		z, err := gzip.NewReader(in)
		if err != nil {
			return b, setup, fmt.Errorf("image %s: %w", file, err)
		}
		z.Multistream(false) // what follows is OpenWrt's metadata
		r = z
	}
	name := filepath.Join(dir, "image")
	out, err := os.Create(name)
	if err != nil {
		return b, setup, fmt.Errorf("image: %w", err)
	}
	defer out.Close()
	if _, err := io.Copy(out, r); err != nil {
		return b, setup, fmt.Errorf("image %s: %w", file, err)
	}
	if err := out.Close(); err != nil {
		return b, setup, fmt.Errorf("image: %w", err)
	}
	head := make([]byte, 4)
	f, err := os.Open(name)
	if err != nil {
		return b, setup, fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, head); err != nil {
		return b, setup, fmt.Errorf("image %s: %w", file, err)
	}
	if !bytes.Equal(head, []byte(elf.ELFMAG)) {
		b, err = board.Of("amd64")
		return b, board.Boot{Drive: name}, err
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return b, setup, fmt.Errorf("image %s: %w", file, err)
	}
	if e.Machine != elf.EM_MIPS {
		return b, setup, fmt.Errorf("image %s is for %v; what boots here is an x86-64 disk, or a kernel for malta",
			file, e.Machine)
	}
	arch := "mips"
	if e.Data == elf.ELFDATA2LSB {
		arch = "mipsel"
	}
	b, err = board.Of(arch)
	return b, board.Boot{Kernel: name}, err
}

// Boot implements Node. The first time it sets the network up, and installs the program.
func (n *Image) Boot(ctx context.Context) error {
	if err := n.start(ctx); err != nil {
		return err
	}
	setUp := n.network
	if !n.installed {
		setUp = n.prepare
	}
	if err := setUp(ctx); err != nil {
		return err
	}
	n.installed = true
	// OpenWrt sets the clock to the newest file's time at boot; a router's first boot after a long time on a shelf is
	// as wrong.
	_, err := n.sh.must(ctx, "date -u -s '1970-01-01 00:01:00'")
	return err
}

func (n *Image) start(ctx context.Context) error {
	program, args := n.Board.ImageCommand(n.Setup)
	v, err := vm.Start("node", program, args...)
	if err != nil {
		return err
	}
	n.v = v
	n.sh, err = open(ctx, v)
	return err
}

// Agent implements Node.
func (n *Image) Agent(ctx context.Context, args ...string) (console.Reply, error) {
	line := "/usr/bin/wguplink"
	for _, a := range args {
		line += " " + quote(a)
	}
	return n.sh.do(ctx, line)
}

// Read implements Node.
func (n *Image) Read(ctx context.Context, name string) (string, error) {
	return n.sh.must(ctx, "cat "+quote(name))
}

// Write implements Node.
func (n *Image) Write(ctx context.Context, name, text string) error {
	return n.sh.write(ctx, name, text)
}

// Now implements Node.
func (n *Image) Now(ctx context.Context) (time.Time, error) {
	out, err := n.sh.must(ctx, "date +%s")
	if err != nil {
		return time.Time{}, err
	}
	s, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("node: date: %w", err)
	}
	return time.Unix(s, 0), nil
}

// PID implements Node: the one that the agent's status tells.
func (n *Image) PID(ctx context.Context) (int, error) {
	out, err := n.sh.must(ctx, `sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' /var/run/wguplink/mesh.json`)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

// Kill implements Node. procd starts it again after five seconds, our loop at once.
func (n *Image) Kill(ctx context.Context) error {
	pid, err := n.PID(ctx)
	if err != nil {
		return err
	}
	_, err = n.sh.must(ctx, fmt.Sprintf("kill -9 %d", pid))
	return err
}

// Reboot implements Node.
func (n *Image) Reboot(ctx context.Context) error {
	if err := n.Stop(ctx); err != nil {
		return err
	}
	if err := n.v.Send("sync; reboot\n"); err != nil {
		return err
	}
	if err := n.v.Exited(ctx); err != nil {
		return err
	}
	return n.Boot(ctx)
}

// Originators implements Node: what batctl prints is for people.
func (n *Image) Originators(context.Context, string) (string, error) {
	return "", errors.ErrUnsupported
}

// Hard implements Node.
func (n *Image) Hard(context.Context, string) (string, error) { return "", errors.ErrUnsupported }

// TakeFlows implements Node.
func (n *Image) TakeFlows(context.Context) error { return errors.ErrUnsupported }

// Tail implements Node.
func (n *Image) Tail(lines int) string {
	if n.v == nil {
		return notStarted
	}
	return n.v.Tail(lines)
}

// Off implements Node.
func (n *Image) Off() {
	if n.v != nil {
		n.v.Kill()
	}
}
