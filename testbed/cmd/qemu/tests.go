package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/image"
)

// testTime bounds one package's tests on the slowest machine.
const testTime = 8 * time.Minute

// allTests runs them for some boards.
func (o options) allTests(ctx context.Context, boards []board.Board) error {
	var targets []string
	for _, b := range boards {
		targets = append(targets, b.Target)
	}
	if err := o.script(ctx, "cross-vm", targets...); err != nil {
		return err
	}
	var tasks []func() error
	for _, b := range boards {
		tasks = append(tasks, func() error { return o.tests(ctx, b) })
	}
	return errors.Join(o.each(tasks)...)
}

// tests runs in a board's machine the unit tests that scripts/test-cross has built for it.
func (o options) tests(ctx context.Context, b board.Board) error {
	dir := o.built("test-cross", b.Target, "vm")
	packages, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w; run scripts/test-cross", b.Arch, err)
	}
	tmp, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	k, err := image.GetKernel(ctx, o.root, b)
	if err != nil {
		return err
	}
	files := map[string]string{}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files[strings.TrimPrefix(name, dir+"/")] = name
		}
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range packages {
		errs = append(errs, o.test(ctx, b, k, tmp, p.Name(), files))
	}
	return errors.Join(errs...)
}

// testMemory is in MiB. Tests make several of wireguard-go's devices, each with its own 16 MB of buffers; more than 256
// a malta board cannot use.
const testMemory = 256

// test boots a machine for one package's tests.
func (o options) test(ctx context.Context, b board.Board, k image.Kernel, dir, name string,
	files map[string]string) error {
	own := map[string]string{}
	for to, from := range files {
		if strings.HasPrefix(to, name+"/") {
			own["/tests/"+to] = from
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, testTime, fmt.Errorf("not within %v", testTime))
	defer cancel()
	start := time.Now()
	g, err := o.start(ctx, machine{
		name: "test", peer: "none", board: b, boot: board.Boot{MAC: "52:54:00:00:00:03", Memory: testMemory},
		initrd: image.Initrd{Kernel: k, Files: own},
	}, dir)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", b.Arch, name, err)
	}
	defer g.Kill()
	r, err := g.Do(ctx, "test", "/tests/"+name)
	if err != nil {
		return fmt.Errorf("%s: %s: %w\n%s", b.Arch, name, err, g.Tail(tailLines))
	}
	if r.Code != 0 {
		fmt.Fprintf(o.out, "%s: %s: FAILED, in the virtual machine\n%s\n", b.Target, name, r.Out)
		return fmt.Errorf("%s: the tests of %s fail in the virtual machine", b.Arch, name)
	}
	fmt.Fprintf(o.out, "%s: %s: ok, in the virtual machine, after %.0f s\n", b.Target, name,
		time.Since(start).Seconds())
	return nil
}
