// Package scenario has what happens to a node in the lab, once: steps, and what has to come of each. A Place runs them:
// namespaces, for the tests of this folder and for the figures of `make lab`, or virtual machines (`make qemu`). The
// tests here run the real agent against real servers, in a topology of namespaces each.
package scenario

import (
	"context"
	"fmt"
	"time"

	"wguplink/testbed/topology"
)

// Place is where steps run: a node that is connected, packets that go through its mesh all the time, and the lab's
// servers.
type Place interface {
	// Now is the present moment, by the clock that Reply tells times by.
	Now(ctx context.Context) (time.Time, error)
	// Happen has something happen beyond the node's WAN; gateway is the one concerned.
	Happen(ctx context.Context, e topology.Incident, gateway string) error
	// Delete deletes a network device of the node, as another program may.
	Delete(ctx context.Context, device string) error
	// Restart ends the node's agent in order, and starts it again. Kill ends it abruptly, and it is started again.
	Restart(ctx context.Context) error
	Kill(ctx context.Context) error
	// Reconnect has the agent switch to another gateway, as an operator does.
	Reconnect(ctx context.Context) error
	// Status waits until the agent's status is as wanted; what completes "never …".
	Status(ctx context.Context, what string, ok func(topology.Status) bool) (topology.Status, error)
	// Reply waits for the first answer through the mesh to a packet sent after a moment, and not of the gateway except;
	// "" is none.
	Reply(ctx context.Context, after time.Time, except string) (topology.Reply, error)
}

// Step is something that happens to a connected node.
type Step struct {
	Name string
	// By says who answers afterwards.
	By By
	// Do has it happen; gateway is the name of the one in use.
	Do func(ctx context.Context, p Place, gateway string) error
	// agent is said to be another process afterwards.
	agent bool
}

// By is who answers after a step.
type By int

const (
	Anyone     By = iota
	TheSame       // gateway as before
	AnotherOne    // than before
)

// The steps.
var (
	RestartAgent    = Step{Name: "agent restarted", By: TheSame, Do: agent(Place.Restart), agent: true}
	KillAgent       = Step{Name: "agent killed", By: TheSame, Do: agent(Place.Kill), agent: true}
	DeleteVXLAN     = Step{Name: "VXLAN deleted", By: TheSame, Do: deleted("mesh-vpn")}
	DeleteWireGuard = Step{Name: "WireGuard deleted", Do: deleted("wg_mesh")}
	PlannedSwitch   = Step{Name: "planned switch", By: AnotherOne, Do: agent(Place.Reconnect)}
	CutGateway      = Step{Name: "gateway unreachable", By: AnotherOne, Do: happens(topology.GatewayIsCut)}
	LoseKey         = Step{Name: "key lost at the gateway", By: AnotherOne, Do: happens(topology.GatewayForgets)}
	LoseAllKeys     = Step{Name: "key lost at all gateways", Do: happens(topology.AllForget)}
	KillGateway     = Step{Name: "gateway killed", By: AnotherOne, Do: happens(topology.GatewayDies)}
)

// Steps are those that a node with three gateways goes through one after another.
var Steps = []Step{RestartAgent, KillAgent, DeleteVXLAN, DeleteWireGuard, PlannedSwitch,
	CutGateway, LoseKey, KillGateway}

func happens(e topology.Incident) func(context.Context, Place, string) error {
	return func(ctx context.Context, p Place, gateway string) error { return p.Happen(ctx, e, gateway) }
}

func deleted(device string) func(context.Context, Place, string) error {
	return func(ctx context.Context, p Place, _ string) error { return p.Delete(ctx, device) }
}

func agent(do func(Place, context.Context) error) func(context.Context, Place, string) error {
	return func(ctx context.Context, p Place, _ string) error { return do(p, ctx) }
}

// Outcome is what came of a step.
type Outcome struct {
	Done      time.Time      // when the step was done
	Connected time.Duration  // from its beginning until the status said that all is well
	Took      time.Duration  // from its beginning to the first answer to a packet sent when it was done
	Reply     topology.Reply // that answer
	Status    topology.Status
}

// Run does a step, and waits for what has to come of it. gateway is the name of the one in use. Without a limit of ctx
// it may wait forever.
func (s Step) Run(ctx context.Context, p Place, gateway string) (o Outcome, err error) {
	fail := func(err error) (Outcome, error) { return o, fmt.Errorf("%s: %w", s.Name, err) }
	began, err := p.Now(ctx)
	if err != nil {
		return fail(err)
	}
	old := 0
	if s.agent {
		st, err := p.Status(ctx, "there", topology.Connected)
		if err != nil {
			return fail(err)
		}
		old = st.PID
	}
	start := time.Now()
	if err := s.Do(ctx, p, gateway); err != nil {
		return fail(err)
	}
	if o.Done, err = p.Now(ctx); err != nil {
		return fail(err)
	}
	o.Status, err = p.Status(ctx, "connected as after "+s.Name, func(st topology.Status) bool {
		return topology.Connected(st) && st.PID != old &&
			(s.By != AnotherOne || topology.ShortName(st.Gateway.Name) != gateway)
	})
	if err != nil {
		return fail(err)
	}
	o.Connected = time.Since(start)
	except := ""
	if s.By == AnotherOne {
		except = gateway
	}
	if o.Reply, err = p.Reply(ctx, o.Done, except); err != nil {
		return fail(err)
	}
	o.Took = o.Reply.At.Sub(began)
	if now := topology.ShortName(o.Status.Gateway.Name); s.By == TheSame &&
		(now != gateway || o.Reply.Gateway != gateway) {
		return fail(fmt.Errorf("from %s to %s, an answer by %s", gateway, now, o.Reply.Gateway))
	}
	return o, nil
}
