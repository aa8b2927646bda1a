package trip

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wguplink/testbed/world"
)

func (t *Trip) status(ctx context.Context) (world.Status, error) {
	r, err := t.Node.Agent(ctx, "status", "--json")
	if err != nil {
		return world.Status{}, err
	}
	return world.ParseStatus(r.Out)
}

// lookEvery is between two looks at the status. Each takes the node's processor, and the one that emulates it, some milliseconds.
const lookEvery = 200 * time.Millisecond

// Status implements scenario.Place. It reads the status again and again, as it has no event for a user at the console. To read the file is easier on the node than
// to run a program.
func (t *Trip) Status(ctx context.Context, what string, ok func(world.Status) bool) (world.Status, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var s world.Status
		text, err := t.Node.Read(ctx, world.StatusFile)
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
