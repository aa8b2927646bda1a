// Package nodetest is the scenario that a node's machine goes through, from a clock in 1970 and no key to a mesh that
// has lost its gateway, and what is measured on the way.
package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/vm"
	"wguplink/testbed/topology"
)

// Test is one way through the scenario.
type Test struct {
	Node     node.Node
	Gateways *vm.Guest
	Out      io.Writer // where steps are told
	Run      *Run
	Arch     string
	Static   bool // no broker: the gateways' operators are told the key
	// Short leaves out what does not depend on the backend: reboot, failover, restart and doctor.
	Short bool
	// Deaf looks, too, whether the status tells when no neighbour is heard behind the tunnel. That takes some minutes.
	Deaf bool
	// Limits measures the bandwidth limits, which Extra sets to Limit.
	Limits bool
	// LimitedMemory is for a node whose agent may take no more than MemoryLimit.
	LimitedMemory bool
	// Bare is for a node whose kernel has no IPv6: see bareSteps.
	Bare bool
	// NoReboot is for a machine that keeps nothing.
	NoReboot bool
	// Extra are options of the uplink in addition.
	Extra    map[string][]string
	Binary   int64         // bytes of the program
	Idle     time.Duration // how long to watch the agent at rest
	Switches int           // how often to switch the gateway while watching the memory

	// Kernel is the node's release, once it has booted.
	Kernel string

	measured Measured
	key      string
	gateway  string // the short name of the one in use
	seen     uptime
	made     time.Time // when the VXLAN was seen to be there
}

// stepTime bounds one step, on the slowest machine, on a host that has much else to do. It is for a hang only: nothing
// is asserted on how long one takes.
const stepTime = 6 * time.Minute

// lookTime bounds the look at the machine's clock after a step.
const lookTime = time.Minute

// pingEvery is how often each gateway sends an echo request to the node's bat0.
const pingEvery = 50 * time.Millisecond

// Steps that not all tests have.
const (
	deafStep   = "no neighbour heard behind the tunnel"
	limitStep  = "bandwidth limits"
	rebootStep = "key kept over a reboot"
	switchStep = "switches"
	tableStep  = "netcheck: each gateway, beside the tunnel"
)

// step is one of a test's.
type step struct {
	name string
	do   func(context.Context) (string, error)
}

// Go goes through all steps until one fails.
func (t *Test) Go(ctx context.Context) error {
	if t.Bare {
		for _, s := range t.bareSteps() {
			if err := t.step(ctx, s.name, s.do); err != nil {
				return err
			}
		}
		return nil
	}
	steps := []struct {
		name  string
		do    func(context.Context) (string, error)
		short bool // is part of a short trip
	}{
		{"boot with the clock in 1970 and no key", t.boot, true},
		{"configure", t.configure, true},
		{"NTP, key, broker, WireGuard: handshake", t.connect, true},
		{"the clock is right", t.clock, true},
		{"VXLAN, batman-adv: ping over bat0", t.ping, true},
		{"originators on both sides", t.originators, true},
		{"batman-adv's settings", t.batman, true},
		{"status: who is heard", t.heard, true},
		{"doctor: all green", t.doctor, false},
		{tableStep, t.netcheck, false},
		{"agent killed and back, no ping lost", t.restart, false},
		{"service restarted", t.restarted, false},
		{"device deleted by others", t.deleted, false},
		{deafStep, t.deaf, false},
		{limitStep, t.limits, false},
		{"gateway killed, another takes over", t.failover, false},
		{"gateway unreachable, another takes over", t.cut, false},
		{rebootStep, t.reboot, false},
		{"at rest", t.rest, true},
		{switchStep, t.switches, false},
		{memoryStep, t.memory, true},
	}
	for _, s := range steps {
		if s.name == tableStep && !t.tabled() || s.name == memoryStep && !t.LimitedMemory {
			continue
		}
		if t.Short && !s.short || s.name == switchStep && t.Switches == 0 || s.name == deafStep && !t.Deaf ||
			s.name == limitStep && !t.Limits || s.name == rebootStep && t.NoReboot {
			continue
		}
		if err := t.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	t.measured.BinaryBytes = t.Binary
	t.Run.Measured = &t.measured
	return nil
}

func (t *Test) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	limit := stepTime + t.Idle
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	start := time.Now()
	note, err := do(ctx)
	var stood time.Duration
	if t.Kernel != "" { // it has booted
		look, stop := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer stop()
		var lookErr error
		if stood, lookErr = t.stood(look); err == nil {
			err = lookErr
		}
	}
	if stood > 0 {
		t.Run.StoodStillMS += stood.Milliseconds()
		note += fmt.Sprintf(" (the machine stood still for %.1f s)", stood.Seconds())
	}
	err = t.excuse(err)
	s := Step{Name: name, OK: err == nil, MS: time.Since(start).Milliseconds(), Note: note}
	word := "ok"
	if err != nil {
		s.Note, word = err.Error(), "FAILED"
	}
	t.Run.Steps = append(t.Run.Steps, s)
	fmt.Fprintf(t.Out, "%-7s %-9s %-9s %7.2f s  %-6s %s", t.Arch, t.Run.Variant, t.Run.Backend,
		float64(s.MS)/1000, word, name)
	if s.Note != "" {
		fmt.Fprintf(t.Out, ": %s", s.Note)
	}
	fmt.Fprintln(t.Out)
	if err != nil {
		// The consoles go before the error, which then stands at the end of what is said.
		fmt.Fprintf(t.Out, "%s\n%s\n", t.Node.Tail(60), t.Gateways.Tail(30))
		return fmt.Errorf("%s, %s variant, %s WireGuard: %s: %w", t.Arch, t.Run.Variant, t.Run.Backend, name, err)
	}
	return nil
}

func (t *Test) ask(ctx context.Context, words ...string) (string, error) {
	return t.Gateways.Must(ctx, words...)
}

// askFor is ask for an answer in JSON.
func (t *Test) askFor(ctx context.Context, answer any, words ...string) error {
	out, err := t.ask(ctx, words...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	return nil
}

// left is the time that a command to the gateway machine may take, in milliseconds.
func left(ctx context.Context) string {
	end, ok := ctx.Deadline()
	if !ok {
		return "60000"
	}
	return strconv.FormatInt(max(0, time.Until(end).Milliseconds()-1000), 10)
}

func (t *Test) boot(ctx context.Context) (string, error) {
	if err := t.Node.Boot(ctx); err != nil {
		return "", err
	}
	release, err := t.Node.Read(ctx, "/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	t.Kernel = strings.TrimSpace(release)
	now, err := t.Node.Now(ctx)
	if err != nil {
		return "", err
	}
	if now.Year() > 1970 {
		return "", fmt.Errorf("the clock says %v already", now)
	}
	return "Linux " + t.Kernel + ", " + now.UTC().Format(time.DateTime), nil
}

func (t *Test) configure(ctx context.Context) (string, error) {
	if _, err := t.ask(ctx, "mesh", t.Run.Algorithm); err != nil {
		return "", err
	}
	uci, ca, err := t.uci(ctx)
	if err != nil {
		return "", err
	}
	if err := errors.Join(t.Node.Write(ctx, "/etc/config/wguplink", uci),
		t.Node.Write(ctx, "/etc/config/ca.pem", ca)); err != nil {
		return "", err
	}
	if r, err := t.Node.Agent(ctx, "config", "check"); err != nil || r.Code != 0 {
		return "", fmt.Errorf("wguplink config check: %w: %s", err, r.Out)
	}
	if r, err := t.Node.Agent(ctx, "key", "show"); err != nil || r.Code == 0 {
		return "", fmt.Errorf("there is a key already: %w: %s", err, r.Out)
	}
	_, err = t.ask(ctx, "ping", strconv.FormatInt(pingEvery.Milliseconds(), 10))
	return "", err
}

// connect measures by the host's clock: from the moment at which the service is told to start.
func (t *Test) connect(ctx context.Context) (string, error) {
	start := time.Now()
	if err := t.Node.Start(ctx); err != nil {
		return "", err
	}
	began, err := t.Now(ctx)
	if err != nil {
		return "", err
	}
	if t.Static {
		s, err := t.Status(ctx, "has a key", func(s topology.Status) bool { return s.PublicKey != "" })
		if err != nil {
			return "", err
		}
		if _, err := t.ask(ctx, "know", s.PublicKey); err != nil {
			return "", err
		}
	}
	if _, err := t.ask(ctx, "handshake", left(ctx)); err != nil {
		return "", err
	}
	t.measured.HandshakeMS = time.Since(start).Milliseconds()
	r, err := t.Reply(ctx, began, "")
	if err != nil {
		return "", err
	}
	t.measured.MeshMS = r.At.Sub(began).Milliseconds()
	s, err := t.Status(ctx, "connected", topology.Connected)
	if err != nil {
		return "", err
	}
	if s.Backend != t.Run.Backend {
		return "", fmt.Errorf("WireGuard runs in the %s, want %s", s.Backend, t.Run.Backend)
	}
	t.gateway, t.key, t.made = topology.ShortName(s.Gateway.Name), s.PublicKey, time.Now()
	return fmt.Sprintf("%d ms, %s, %s", t.measured.HandshakeMS, s.Gateway.Name, s.Broker), nil
}

func (t *Test) clock(ctx context.Context) (string, error) {
	now, err := t.Node.Now(ctx)
	if err != nil {
		return "", err
	}
	if off := time.Since(now); off.Abs() > 5*time.Second {
		return "", fmt.Errorf("it says %v, and is off by %v", now, off)
	}
	s, err := t.status(ctx)
	return s.Clock, err
}

func (t *Test) ping(ctx context.Context) (string, error) {
	now, err := t.Now(ctx)
	if err != nil {
		return "", err
	}
	r, err := t.Reply(ctx, now, "")
	if err != nil {
		return "", err
	}
	if r.Gateway != t.gateway {
		return "", fmt.Errorf("an answer by %s, but the node is with %s", r.Gateway, t.gateway)
	}
	return fmt.Sprintf("first after %d ms; round trip %.1f ms", t.measured.MeshMS, r.At.Sub(r.Sent).Seconds()*1000), nil
}
