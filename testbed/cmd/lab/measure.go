package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"wguplink/testbed/measure"
	"wguplink/testbed/vclock"
)

// measureAll runs the failure scenarios, prints their figures and writes lab.json.
func measureAll(ctx context.Context, binary, out, only string, runs, again int) error {
	dir, err := os.MkdirTemp("/run", "measure-") // in the lab's own RAM: gone with it, however it ends
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	plain, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	prepared := filepath.Join(dir, "wguplink")
	if err := vclock.Prepare(binary, prepared); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	rows, err := measure.Run(ctx, measure.Config{Binary: prepared, Plain: plain, Dir: dir, Runs: runs, Again: again,
		Only: only, Log: os.Stderr})
	if len(rows) == 0 {
		return err
	}
	return errors.Join(err, measure.WriteTable(os.Stdout, rows),
		measure.WriteFile(filepath.Join(out, "lab.json"), rows))
}
