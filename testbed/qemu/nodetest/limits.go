package nodetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Limit is what the node of a test with Limits lets through in each direction, kbit/s, and how far off a flow may be,
// in percent.
const (
	Limit    = 1000
	limitOff = 10
)

// flowBytes is what one flow carries: eight seconds' worth.
const flowBytes = 1 << 20

// flowTries is how often a flow that is too slow is tried: machines that wait for their turn send less than they may.
const flowTries = 3

// limits measures a flow in each direction against the limits of the configuration.
func (t *Test) limits(ctx context.Context) (string, error) {
	err := t.Node.TakeFlows(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return "not measured: nothing on the node takes a flow", nil
	}
	if err != nil {
		return "", err
	}
	note := ""
	for _, direction := range []string{"up", "down"} {
		kbit, err := t.flow(ctx, direction)
		if err != nil {
			return "", err
		}
		note += fmt.Sprintf("%s %d kbit/s, ", direction, kbit)
	}
	return fmt.Sprintf("%sof %d", note, Limit), nil
}

func (t *Test) flow(ctx context.Context, direction string) (kbit int, err error) {
	const low, high, gross = Limit * (100 - limitOff) / 100, Limit * (100 + limitOff) / 100, Limit / 10
	for range flowTries {
		out, err := t.ask(ctx, "flow", t.gateway, direction, strconv.Itoa(flowBytes), left(ctx))
		if err != nil {
			return 0, err
		}
		if kbit, err = strconv.Atoi(out); err != nil {
			return 0, fmt.Errorf("flow %s: %q", direction, out)
		}
		switch {
		case kbit > high:
			return 0, fmt.Errorf("flow %s: %d kbit/s, more than the limit of %d", direction, kbit, Limit)
		case kbit >= low:
			return kbit, nil
		}
	}
	if kbit < gross {
		return 0, fmt.Errorf("flow %s: %d kbit/s, less than the limit of %d lets through on any machine",
			direction, kbit, Limit)
	}
	return kbit, nil // on a busy host: a figure for the report
}
