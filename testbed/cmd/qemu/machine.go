package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/image"
	"wguplink/testbed/qemu/vm"
)

// machine is what is special about one of our own machines.
type machine struct {
	name   string // of its console, its host and its end of the wire
	peer   string // whose end of the wire is the other; there may be none of that name
	board  board.Board
	initrd image.Initrd // the first process and the host's name are filled in
	boot   board.Boot   // MAC, memory, clock and words for the kernel; the rest is filled in
}

// bootTime bounds a machine's boot, on a host that has much else to do. It is for a hang only.
const bootTime = 8 * time.Minute

// tailLines is how much of a console is shown with an error.
const tailLines = 60

// start boots a machine, and returns when it takes commands. dir is for its initrd, and has the wire.
func (o options) start(ctx context.Context, m machine, dir string) (*vm.Guest, error) {
	b, err := o.write(m, dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bootTime, fmt.Errorf("not within %v", bootTime))
	defer cancel()
	program, args := m.board.Command(b)
	g, err := vm.Boot(ctx, m.name, program, args...)
	if err == nil {
		return g, nil
	}
	if g != nil {
		err = fmt.Errorf("%w\n%s", err, g.Tail(tailLines))
		g.Kill()
	}
	return nil, err
}

// write writes a machine's initrd, and says what the machine boots from.
func (o options) write(m machine, dir string) (board.Boot, error) {
	m.initrd.Init = o.built("qemu", "vminit-"+m.board.Target)
	m.initrd.Config.Hostname = m.name
	b := m.boot
	b.Kernel, b.Initrd = m.initrd.Kernel.Path, filepath.Join(dir, m.name+".cpio")
	b.Own, b.Peer = wire(dir, m.name), wire(dir, m.peer)
	return b, m.initrd.Write(b.Initrd)
}

// wire is the socket file of one end of the wire.
func wire(dir, end string) string { return filepath.Join(dir, end+".sock") }

// gatewayArch is the architecture of all machines but the node's, as gateways are.
const gatewayArch = "amd64"

// gatewayKernel gives its board and its kernel.
func (o options) gatewayKernel(ctx context.Context) (b board.Board, k image.Kernel, err error) {
	if b, err = board.Of(gatewayArch); err == nil {
		k, err = image.GetKernel(ctx, o.root, b)
	}
	return b, k, err
}

func (o options) built(names ...string) string {
	return filepath.Join(append([]string{o.root, "build"}, names...)...)
}
