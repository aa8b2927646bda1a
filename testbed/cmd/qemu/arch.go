package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/qemu/image"
	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/nodetest"
	"wguplink/testbed/qemu/vm"
	"wguplink/testbed/topology"
)

type options struct {
	root      string
	idle      time.Duration
	switches  int
	jobs      int
	failovers int // of -cold
	ways      []way
	rows      string // of the table of recovery: a regular expression; "" for all
	out       io.Writer
}

// way is one run of the scenario.
type way struct {
	variant, backend, algorithm string
	static, short               bool
	bare                        bool   // the kernel has no IPv6
	without                     string // a module that is left out
}

var ways = []way{
	{variant: "default", backend: "kernel", algorithm: "BATMAN_IV"},
	{variant: "userspace", backend: "userspace", algorithm: "BATMAN_V", without: "wireguard"},
	{variant: "nobroker", backend: "kernel", algorithm: "BATMAN_IV", static: true, short: true},
}

// bare is one more, on one architecture.
var bare = way{variant: "default", backend: "kernel", algorithm: "BATMAN_IV", static: true, bare: true}

// arch takes one architecture through all ways, against one gateway machine.
func (o options) arch(ctx context.Context, b board.Board) (r *nodetest.Report, err error) {
	start := time.Now()
	r = &nodetest.Report{Arch: b.Arch, Machine: b.String()}
	dir, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(o.out, "%-7s getting the kernel\n", b.Arch)
	k, err := image.GetKernel(ctx, o.root, b)
	if err != nil {
		return r, err
	}
	gateways, err := o.gatewayVM(ctx, dir, nil)
	if err != nil {
		return r, err
	}
	defer gateways.Kill()
	fmt.Fprintf(o.out, "%-7s the gateway machine is there after %.1f s\n", b.Arch, time.Since(start).Seconds())

	all := o.ways
	if b.Arch == gatewayArch && slices.Contains(o.ways, ways[0]) {
		all = append(slices.Clone(all), bare)
	}
	for _, w := range all {
		err = errors.Join(err, o.way(ctx, b, k, gateways, w, dir, r))
	}
	r.Seconds = time.Since(start).Seconds()
	r.Judge(err)
	if e := r.Write(filepath.Join(o.root, "build")); e != nil {
		return r, errors.Join(err, e)
	}
	if err == nil && !r.OK {
		err = fmt.Errorf("%s: a gate does not hold; see the table", b.Arch)
	}
	return r, err
}

// gatewayVM boots the machine with gateways and servers.
func (o options) gatewayVM(ctx context.Context, dir string, files map[string]string) (*vm.Guest, error) {
	b, k, err := o.gatewayKernel(ctx)
	if err != nil {
		return nil, err
	}
	return o.start(ctx, machine{
		name: "gateways", peer: "node", board: b, boot: board.Boot{MAC: "52:54:00:00:00:01"},
		initrd: image.Initrd{
			Kernel: k, Config: guest.Config{Exec: "/usr/bin/vmgateway"},
			Programs: map[string]string{"vmgateway": o.built("qemu", "vmgateway")}, Files: files,
		},
	}, dir)
}

// nodeMAC is the address of the node's network card.
const nodeMAC = "52:54:00:00:00:02"

// way takes the node through the scenario. dir has the wire.
func (o options) way(ctx context.Context, b board.Board, k image.Kernel, gateways *vm.Guest, w way, dir string,
	r *nodetest.Report) error {
	own, err := os.MkdirTemp(dir, w.variant+"-")
	if err != nil {
		return err
	}
	run := &nodetest.Run{Variant: w.variant, Backend: w.backend, Algorithm: w.algorithm, Bare: w.bare}
	r.Runs = append(r.Runs, run)
	binary := o.built(w.variant, "wguplink-"+b.Target)
	fi, err := os.Stat(binary)
	if err != nil {
		return fmt.Errorf("%s: %w; run scripts/cross", b.Arch, err)
	}
	n := &node.Own{Board: b, Dir: own}
	config := guest.Config{Disk: b.Disk}
	if b.Arch == gatewayArch { // seen with its kernel alone
		config.AgentMemory = nodetest.MemoryLimit
	}
	if err := o.prepare(n, k, w, config, map[string]string{"wguplink": binary}, dir); err != nil {
		return err
	}
	defer n.Off()
	extra := map[string][]string{}
	if b.NoModules && w.without != "" {
		extra["backend"] = []string{w.backend}
	}
	// Emulated, other processors hardly carry what would be too much.
	limits := w.variant == "default" && b.Arch == gatewayArch && !w.bare
	if limits {
		extra["limit_ingress"] = []string{strconv.Itoa(nodetest.Limit)}
		extra["limit_egress"] = []string{strconv.Itoa(nodetest.Limit)}
	}
	// The agent's own memory is what switches are watched for: once is enough.
	switches := 0
	if w.variant == "default" {
		switches = o.switches
	}
	t := &nodetest.Test{
		Node: n, Gateways: gateways, Out: o.out, Run: run, Arch: b.Arch, Static: w.static, Short: w.short,
		Bare: w.bare, Extra: extra,
		Limits: limits, Deaf: b.Arch == gatewayArch && w.variant == "default", Binary: fi.Size(), Idle: o.idle,
		Switches: switches, LimitedMemory: config.AgentMemory != 0,
	}
	err = t.Go(ctx)
	r.Kernel = t.Kernel
	// What the node has said, for those who wonder about a figure.
	name := fmt.Sprintf("qemu-%s-%s.log", b.Arch, w.variant)
	if w.bare {
		name = fmt.Sprintf("qemu-%s-no-ipv6.log", b.Arch)
	}
	return errors.Join(err, os.WriteFile(o.built(name), []byte(n.Tail(allLines)+"\n"), 0o644))
}

// prepare writes the initrd of a node's machine, with some programs, and says what it boots from. dir has the wire.
func (o options) prepare(n *node.Own, k image.Kernel, w way, c guest.Config, programs map[string]string,
	dir string) (err error) {
	c.Agent = n.Program()
	c.Addresses = []netip.Prefix{topology.NodeV4, topology.NodeV6}
	c.Gateways = []netip.Addr{topology.RouterV4.Addr(), topology.RouterV6.Addr()}
	c.Batman = &guest.Batman{Algorithm: w.algorithm, Address: gatewayvm.NodeMesh, MAC: gatewayvm.NodeMAC}
	words := ""
	if w.bare {
		c.Addresses, c.Gateways, words = c.Addresses[:1], c.Gateways[:1], nodetest.NoIPv6
	}
	n.Setup, err = o.write(machine{
		name: "node", peer: "gateways", board: n.Board,
		boot:   board.Boot{MAC: nodeMAC, Epoch: true, Append: words},
		initrd: image.Initrd{Kernel: k, Without: w.without, Config: c, Programs: programs},
	}, dir)
	return err
}

// allLines is more than a console says.
const allLines = 1 << 20
