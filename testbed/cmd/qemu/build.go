package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"wguplink/testbed/qemu/board"
)

// build builds what goes into the machines of some boards, and the gateway machine's.
func (o options) build(ctx context.Context, boards []board.Board) error {
	gateways, err := board.Of(gatewayArch)
	if err != nil {
		return err
	}
	var targets []string
	for _, b := range boards {
		targets = append(targets, b.Target)
	}
	for _, w := range o.ways {
		if err := o.script(ctx, "cross", append([]string{"-v", w.variant}, targets...)...); err != nil {
			return err
		}
	}
	if !slices.Contains(targets, gateways.Target) {
		targets = append(targets, gateways.Target)
	}
	return o.script(ctx, "cross-vm", targets...)
}

// script runs one of the project's scripts; what it says is shown only when it fails.
func (o options) script(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(o.root, "scripts", name), args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, &said)
	}
	return nil
}
