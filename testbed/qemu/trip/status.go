package trip

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// status is what the trip reads of `wguplink status --json`.
type status struct {
	State     string `json:"state"`
	Cause     string `json:"cause"`
	Reason    string `json:"reason"`
	PID       int    `json:"pid"`
	PublicKey string `json:"public_key"`
	Backend   string `json:"backend"`
	Clock     string `json:"clock"`
	Broker    string `json:"broker"`
	VXLAN     string `json:"vxlan"`
	Warnings  []string
	Batman    *struct {
		Algorithm  string   `json:"algorithm"`
		Neighbours []string `json:"neighbours"`
	} `json:"batman"`
	Gateway *struct {
		Name string `json:"name"`
	} `json:"gateway"`
}

func (t *Trip) status(ctx context.Context) (s status, err error) {
	r, err := t.Node.Agent(ctx, "status", "--json")
	if err != nil {
		return s, err
	}
	var all struct{ Uplinks map[string]status }
	if err := json.Unmarshal([]byte(r.Out), &all); err != nil || len(all.Uplinks) != 1 {
		return s, fmt.Errorf("wguplink status: code %d: %s", r.Code, r.Out)
	}
	for _, s = range all.Uplinks {
	}
	return s, nil
}

// statusFile is where the agent keeps its status; reading it is easier on the node than running a program.
const statusFile = "/var/run/wguplink/mesh.json"

// lookEvery is between two looks at the status. Each takes the node's processor, and the one that emulates it, some milliseconds.
const lookEvery = 200 * time.Millisecond

// until reads the status until it is as wanted: it has no event for a user at the console.
func (t *Trip) until(ctx context.Context, what string, ok func(status) bool) (status, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var s status
		text, err := t.Node.Read(ctx, statusFile)
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
