package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/qemu/image"
	"wguplink/testbed/qemu/recovery"
)

const (
	// rowTime bounds one row of the table, on a host that has much else to do. It is for a hang only.
	rowTime = 5 * time.Minute
	// tableTime bounds all of it.
	tableTime = 60 * time.Minute
	// tableMemory is for eight hosts in each of four topologies, in MiB.
	tableMemory = 512
)

// onlyRecovery measures nothing else.
func (o options) onlyRecovery(ctx context.Context) error {
	b, err := board.Of(gatewayArch)
	if err != nil {
		return err
	}
	o.ways = ways[:1]
	if err := o.build(ctx, []board.Board{b}); err != nil {
		return err
	}
	rows, err := o.recovery(ctx)
	if err == nil && len(rows) == 0 {
		return fmt.Errorf("no row is like %q", o.rows)
	}
	recovery.Print(os.Stdout, rows)
	return err
}

// recovery measures in one machine how long a node is gone from its mesh when something of it changes.
func (o options) recovery(ctx context.Context) ([]recovery.Row, error) {
	start := time.Now()
	rows, err := o.measureRecovery(ctx)
	if err != nil {
		return nil, fmt.Errorf("recovery: %w", err)
	}
	b, err := json.MarshalIndent(rows, "", "  ")
	if err == nil {
		err = os.WriteFile(o.built("qemu-recovery.json"), append(b, '\n'), 0o644)
	}
	fmt.Fprintf(o.out, "recovery measured in %.0f s\n", time.Since(start).Seconds())
	return rows, errors.Join(err, recovery.Faults(rows))
}

func (o options) measureRecovery(ctx context.Context) (rows []recovery.Row, err error) {
	b, k, err := o.gatewayKernel(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "wguplink-qemu-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	g, err := o.start(ctx, machine{
		name: "recovery", peer: "none", board: b, boot: board.Boot{MAC: "52:54:00:00:00:03", Memory: tableMemory},
		initrd: image.Initrd{
			Kernel: k, Config: guest.Config{Exec: "/usr/bin/vmrecovery"},
			Programs: map[string]string{"vmrecovery": o.built("qemu", "vmrecovery"),
				"wguplink": o.built("default", "wguplink-"+b.Target)},
		},
	}, dir)
	if err != nil {
		return nil, err
	}
	defer g.Kill()
	defer func() {
		if err != nil {
			fmt.Fprintln(o.out, g.Tail(tailLines))
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, tableTime, fmt.Errorf("not within %v", tableTime))
	defer cancel()
	if _, err := g.Must(ctx, "table", "/usr/bin/wguplink", rowTime.String(), o.rows); err != nil {
		return nil, err
	}
	for {
		out, err := g.Must(ctx, "row")
		if err != nil || out == "" {
			return rows, err
		}
		var r recovery.Row
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			return rows, err
		}
		rows = append(rows, r)
		fmt.Fprintf(o.out, "%-7s recovery  %s\n", b.Arch, r)
	}
}
