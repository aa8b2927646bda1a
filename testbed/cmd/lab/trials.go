package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"wguplink/testbed/trial"
	"wguplink/testbed/vclock"
)

// trials runs the failure scenarios, prints their figures and writes lab.json.
func trials(ctx context.Context, binary, out, only string, runs, again int) error {
	dir, err := os.MkdirTemp("/run", "trials-") // in the lab's own RAM: gone with it, however it ends
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
	rows, err := trial.Run(ctx, trial.Config{Binary: prepared, Plain: plain, Dir: dir, Runs: runs, Again: again, Only: only, Log: os.Stderr})
	if len(rows) == 0 {
		return err
	}
	return errors.Join(err, trial.WriteTable(os.Stdout, rows), trial.WriteFile(filepath.Join(out, "lab.json"), rows))
}
