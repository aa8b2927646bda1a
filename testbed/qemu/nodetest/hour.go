package nodetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"wguplink/testbed/qemu/node"
	"wguplink/testbed/topology"
)

// Processor tells what a process has taken.
type Processor interface {
	// Must gives the answer to one of the machine's own commands, see package guest.
	Must(ctx context.Context, words ...string) (string, error)
}

// Hour is what the agent takes of a processor in an idle hour. The machine's clock counts instructions, a nanosecond
// for each, so that the figures do not depend on what else the host does.
type Hour struct {
	Arch    string `json:"arch"`
	Variant string `json:"variant"`
	// Mesh is with batman-adv's messages from the gateway, and Alone without, so that there are probes; seconds, as
	// many as there are thousand million instructions.
	Mesh  float64 `json:"mesh_s"`
	Alone float64 `json:"alone_s"`
	// Watched is how long each of them was watched, in seconds of the machine's.
	Watched float64 `json:"watched_s"`
}

// hourMost is the goal, in seconds.
const hourMost = 0.5

// quietAfter is how long after its start the agent still measures the path, and gives back what it does not need.
const quietAfter = 20 * time.Second

// Hour measures it.
func (t *Test) Hour(ctx context.Context, p Processor, h *Hour) error {
	watch := func(into *float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (said string, err error) {
			*into, h.Watched, err = t.watch(ctx, p)
			return fmt.Sprintf("%.2f s of an hour, watched for %.0f s", *into, h.Watched), err
		}
	}
	for _, s := range []step{
		{"boot with the clock in 1970 and no key", t.boot},
		{"configure", t.configure},
		{"handshake", t.connect},
		{"ping over bat0", t.ping},
		{"at rest, in a mesh", watch(&h.Mesh)},
		{"without a mesh", t.alone},
		{"at rest, alone", watch(&h.Alone)},
	} {
		if err := t.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// alone starts the agent anew without a mesh: no message comes by the tunnel but answers.
func (t *Test) alone(ctx context.Context) (string, error) {
	if err := t.Node.Stop(ctx); err != nil {
		return "", err
	}
	t.Extra = map[string][]string{"batman": nil, "batman_throughput": nil, "batman_hop_penalty": nil}
	uci, _, err := t.uci(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(t.Node.Write(ctx, "/etc/config/wguplink", uci), t.Node.Start(ctx)); err != nil {
		return "", err
	}
	s, err := t.Status(ctx, "connected", topology.Connected)
	if err != nil {
		return "", err
	}
	_, err = t.ask(ctx, "leave", topology.ShortName(s.Gateway.Name))
	return s.Gateway.Name, err
}

// watch gives what the agent takes in an hour, in seconds, and for how long it was watched by the machine's clock.
func (t *Test) watch(ctx context.Context, p Processor) (hour, watched float64, err error) {
	if _, err := t.ask(ctx, "ping", "0"); err != nil {
		return 0, 0, err
	}
	pid, err := t.Node.PID(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := topology.Pause(ctx, quietAfter); err != nil {
		return 0, 0, err
	}
	spent, up, err := spentBy(ctx, t.Node, p, pid)
	if err != nil {
		return 0, 0, err
	}
	if err := topology.Pause(ctx, t.Idle); err != nil {
		return 0, 0, err
	}
	spentNow, upNow, err := spentBy(ctx, t.Node, p, pid)
	if err != nil {
		return 0, 0, err
	}
	took := upNow - up
	return float64(spentNow-spent) / float64(took) * time.Hour.Seconds(), took.Seconds(), nil
}

// spentBy is what a process has taken so far, and the machine's uptime.
func spentBy(ctx context.Context, n node.Node, p Processor, pid int) (spent, up time.Duration, err error) {
	text, err := p.Must(ctx, "cpu", strconv.Itoa(pid))
	if err != nil {
		return 0, 0, err
	}
	if spent, err = time.ParseDuration(strings.TrimSpace(text)); err != nil {
		return 0, 0, fmt.Errorf("process %d: CPU time: %w", pid, err)
	}
	if text, err = n.Read(ctx, "/proc/uptime"); err != nil {
		return 0, 0, err
	}
	up, err = parseUptime(text)
	return spent, up, err
}

// cases are the figures and what they are of.
func (h *Hour) cases() map[string]float64 {
	return map[string]float64{"in a mesh": h.Mesh, "alone, with probes": h.Alone}
}

// Fault is an error for what misses the goal.
func (h *Hour) Fault() error {
	var errs []error
	for what, s := range h.cases() {
		if s > hourMost {
			errs = append(errs, fmt.Errorf("%s: an idle hour takes %.2f s %s: at most %.1f", h.Arch, s, what, hourMost))
		}
	}
	return errors.Join(errs...)
}

// Print prints the figures beside the goal.
func (h *Hour) Print(w io.Writer) {
	fmt.Fprintf(w,
		"%s, %s variant, kernel WireGuard: the agent's CPU time of an idle hour, at 1 ns for each instruction "+
			"(watched for %.0f s each; goal %.1f s)\n", h.Arch, h.Variant, h.Watched, hourMost)
	for _, what := range slices.Sorted(maps.Keys(h.cases())) {
		missed := ""
		if h.cases()[what] > hourMost {
			missed = "  MISSED"
		}
		fmt.Fprintf(w, "  %-20s %6.2f s%s\n", what, h.cases()[what], missed)
	}
}
