package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/nodetest"
	"wguplink/testbed/qemu/testimage"
)

// installFile is where the gateway machine has what is installed on an image.
const installFile = "/srv/install.tar"

// image takes an image of OpenWrt or Gluon through the scenario, with the kernel's WireGuard.
func (o options) image(ctx context.Context, file string) (r *nodetest.Report, err error) {
	start := time.Now()
	r = &nodetest.Report{Arch: "image", Machine: file}
	dir, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	b, setup, err := node.Take(file, dir)
	if err != nil {
		return r, err
	}
	o.ways = ways[:1]
	if err := o.build(ctx, []board.Board{b}); err != nil {
		return r, err
	}
	install := filepath.Join(dir, "install.tar")
	from, err := o.pack(b, install)
	if err != nil {
		return r, err
	}
	fmt.Fprintf(o.out, "image   %s, installing %s\n", b, from)
	gateways, err := o.gatewayVM(ctx, dir, map[string]string{installFile: install})
	if err != nil {
		return r, err
	}
	defer gateways.Kill()
	url, err := gateways.Must(ctx, "serve", installFile)
	if err != nil {
		return r, err
	}
	setup.Own, setup.Peer, setup.MAC = wire(dir, "node"), wire(dir, "gateways"), nodeMAC
	n := &node.Image{Board: b, Setup: setup, URL: url, Mesh: gatewayvm.NodeMesh.String()}
	defer n.Off()
	run := &nodetest.Run{Variant: "default", Backend: "kernel", Algorithm: "BATMAN_IV"}
	r.Runs = append(r.Runs, run)
	fi, err := os.Stat(o.built("default", "wguplink-"+b.Target))
	if err != nil {
		return r, err
	}
	t := &nodetest.Test{
		Node: n, Gateways: gateways, Out: o.out, Run: run, Arch: "image", NoReboot: setup.Kernel != "",
		Binary: fi.Size(), Idle: o.idle, Switches: 0,
	}
	err = t.Go(ctx)
	r.Kernel = t.Kernel
	r.Seconds = time.Since(start).Seconds()
	r.Judge(err)
	return r, errors.Join(err, r.Write(filepath.Join(o.root, "build")))
}

// pack makes an archive of what the package installs, if make packages has laid it out, or else of the program alone.
func (o options) pack(b board.Board, name string) (from string, err error) {
	f, err := os.Create(name)
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	from = o.built("packages", "wguplink-"+b.Target)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		from = o.built("default", "wguplink-"+b.Target)
		err = addFile(w, "usr/bin/wguplink", from)
		return from, errors.Join(err, w.Close(), f.Close())
	}
	err = w.AddFS(os.DirFS(from))
	return from, errors.Join(err, w.Close(), f.Close())
}

func addFile(w *tar.Writer, name, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// standIn makes the image that the driver for images is tested with.
func (o options) standIn(ctx context.Context, name string) error {
	_, k, err := o.gatewayKernel(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return testimage.Make(k, dir, name)
}
