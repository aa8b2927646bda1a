package main

import (
	"context"
	"fmt"
	"os"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/nodetest"
)

// onlyHour measures nothing but the CPU time of an idle hour, with the kernel's WireGuard and the variant asked for
// first: on amd64, in a machine that counts instructions. again: what fails, once more.
func (o options) onlyHour(ctx context.Context, again bool) error {
	b, err := board.Of(gatewayArch)
	if err != nil {
		return err
	}
	o.ways = o.ways[:1]
	if err := o.build(ctx, []board.Board{b}); err != nil {
		return err
	}
	h, err := o.hour(ctx, b)
	if err != nil && again && ctx.Err() == nil {
		fmt.Fprintf(o.out, "once more, for it failed: %v\n", err)
		h, err = o.hour(ctx, b)
	}
	if h != nil {
		fmt.Println()
		h.Print(os.Stdout)
	}
	return err
}

// hour measures it. With an error for what is over the goal there are figures, too.
func (o options) hour(ctx context.Context, b board.Board) (*nodetest.Hour, error) {
	h, err := o.measureHour(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Arch, err)
	}
	return h, h.Fault()
}

func (o options) measureHour(ctx context.Context, b board.Board) (*nodetest.Hour, error) {
	w := o.ways[0]
	h := &nodetest.Hour{Arch: b.Arch, Variant: w.variant}
	err := o.beside(ctx, b, "qemu-hour-"+b.Arch, func(string) (*node.Own, guest.Config, map[string]string, error) {
		programs := map[string]string{"wguplink": o.built(w.variant, "wguplink-"+b.Target)}
		return &node.Own{}, guest.Config{Disk: b.Disk}, programs, nil
	}, func(t *nodetest.Test, n *node.Own) error {
		n.Setup.Count = true
		return t.Hour(ctx, n, h)
	})
	return h, err
}
