package nodetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wguplink/testbed/topology"
)

func (t *Test) status(ctx context.Context) (topology.Status, error) {
	r, err := t.Node.Agent(ctx, "status", "--json")
	if err != nil {
		return topology.Status{}, err
	}
	return topology.ParseStatus(r.Out)
}

// lookEvery is between two looks at the status. Each takes the node's processor, and the one that emulates it, some
// milliseconds.
const lookEvery = 200 * time.Millisecond

// Status implements scenario.Place. It reads the status again and again, as it has no event for a user at the console.
// To read the file is easier on the node than to run a program.
func (t *Test) Status(ctx context.Context, what string, ok func(topology.Status) bool) (topology.Status, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var s topology.Status
		text, err := t.Node.Read(ctx, topology.StatusFile)
		if err == nil {
			err = json.Unmarshal([]byte(text), &s)
		}
		if err == nil && ok(s) {
			return s, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, fmt.Errorf("never %s; the last status is %+v, %v: %w", what, s, err, context.Cause(ctx))
		}
	}
}
