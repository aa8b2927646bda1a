package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/qemu/image"
	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/nodetest"
)

// onlyCold measures nothing but what a program in flash costs: on the boards whose kernels have squashfs, with the
// variant asked for first. again: what fails, once more.
func (o options) onlyCold(ctx context.Context, boards []board.Board, again bool) error {
	boards = slices.DeleteFunc(slices.Clone(boards), func(b board.Board) bool { return !b.Flash })
	if len(boards) == 0 {
		return errors.New("no kernel of these architectures has squashfs; -cold is for amd64, mipsel and mips")
	}
	o.ways = o.ways[:1]
	if err := o.build(ctx, boards); err != nil {
		return err
	}
	var errs []error
	var all []*nodetest.Cold
	for _, b := range boards {
		c, err := o.cold(ctx, b)
		if err != nil && again && ctx.Err() == nil {
			fmt.Fprintf(o.out, "once more, for it failed: %v\n", err)
			c, err = o.cold(ctx, b)
		}
		errs = append(errs, err)
		if c != nil {
			all = append(all, c)
		}
	}
	for _, c := range all {
		fmt.Println()
		errs = append(errs, c.Print(os.Stdout))
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = os.WriteFile(o.built("qemu-cold.json"), append(text, '\n'), 0o644)
	}
	return errors.Join(append(errs, err)...)
}

// cold measures it on one board. With an error for what is over a limit there are figures, too.
func (o options) cold(ctx context.Context, b board.Board) (*nodetest.Cold, error) {
	c, err := o.measureCold(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Arch, err)
	}
	return c, c.Faults()
}

func (o options) measureCold(ctx context.Context, b board.Board) (c *nodetest.Cold, err error) {
	w := o.ways[0]
	err = o.beside(ctx, b, "qemu-cold-"+b.Arch, func(dir string) (*node.Own, guest.Config, map[string]string, error) {
		flash, size, packed, err := squashfs(ctx, o.built(w.variant, "wguplink-"+b.Target), dir)
		c = &nodetest.Cold{Arch: b.Arch, Variant: w.variant, Program: size, Packed: packed}
		return &node.Own{Flash: flash}, guest.Config{Flash: b.Disk}, nil, err
	}, func(t *nodetest.Test, n *node.Own) error { return t.Cold(ctx, n, b.Disk, o.failovers, c) })
	return c, err
}

// beside calls measure with a node beside its gateways, of the variant asked for first. ready gives the node, its
// configuration and its programs; dir is for its files. What the node has said is kept under that name.
func (o options) beside(ctx context.Context, b board.Board, name string,
	ready func(dir string) (*node.Own, guest.Config, map[string]string, error),
	measure func(*nodetest.Test, *node.Own) error) error {
	w := o.ways[0]
	dir, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n, config, programs, err := ready(dir)
	if err != nil {
		return err
	}
	n.Board, n.Dir = b, dir
	k, err := image.GetKernel(ctx, o.root, b)
	if err != nil {
		return err
	}
	gateways, err := o.gatewayVM(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer gateways.Kill()
	if err := o.prepare(n, k, w, config, programs, dir); err != nil {
		return err
	}
	defer n.Off()
	err = measure(&nodetest.Test{
		Node: n, Gateways: gateways, Out: o.out, Arch: b.Arch, Static: w.static, Idle: o.idle,
		Run: &nodetest.Run{Variant: w.variant, Backend: w.backend, Algorithm: w.algorithm},
	}, n)
	return errors.Join(err, os.WriteFile(o.built(name+".log"), []byte(n.Tail(allLines)+"\n"), 0o644))
}

// squashfs packs a program as OpenWrt packs its root, and gives the image, the program's size and its own in KiB.
func squashfs(ctx context.Context, program, dir string) (name string, size, packed int, err error) {
	b, err := os.ReadFile(program)
	if err != nil {
		return "", 0, 0, fmt.Errorf("%w; run scripts/cross", err)
	}
	root := filepath.Join(dir, "rom")
	err = errors.Join(os.MkdirAll(root, 0o755), os.WriteFile(filepath.Join(root, "wguplink"), b, 0o755))
	if err != nil {
		return "", 0, 0, err
	}
	name = filepath.Join(dir, "rom.squashfs")
	out, err := exec.CommandContext(ctx, "mksquashfs", root, name, "-comp", "xz", "-b", "256k", "-all-root",
		"-noappend", "-no-progress").CombinedOutput()
	if err != nil {
		return "", 0, 0, fmt.Errorf("mksquashfs, of squashfs-tools: %w\n%s", err, out)
	}
	fi, err := os.Stat(name)
	if err != nil {
		return "", 0, 0, err
	}
	return name, len(b) / 1024, int(fi.Size()) / 1024, nil
}
