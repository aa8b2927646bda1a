package nodetest

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/topology"
)

// Now implements scenario.Place. The clock is that of the machine with the gateways, from its start on.
func (t *Test) Now(ctx context.Context) (time.Time, error) {
	out, err := t.ask(ctx, "now")
	if err != nil {
		return time.Time{}, err
	}
	us, err := strconv.ParseInt(out, 10, 64)
	return time.UnixMicro(us), err
}

// moment is what the gateway machine calls a time of its clock.
func moment(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// Happen implements scenario.Place.
func (t *Test) Happen(ctx context.Context, e topology.Incident, gateway string) error {
	_, err := t.ask(ctx, "happen", string(e), gateway)
	return err
}

// Delete implements scenario.Place.
func (t *Test) Delete(ctx context.Context, device string) error { return t.Node.Delete(ctx, device) }

// Restart implements scenario.Place.
func (t *Test) Restart(ctx context.Context) error { return t.Node.Restart(ctx) }

// Kill implements scenario.Place.
func (t *Test) Kill(ctx context.Context) error { return t.Node.Kill(ctx) }

// Reconnect implements scenario.Place.
func (t *Test) Reconnect(ctx context.Context) error {
	r, err := t.Node.Agent(ctx, "reconnect")
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("wguplink reconnect: code %d: %s", r.Code, r.Out)
	}
	return err
}

// Reply implements scenario.Place: the packets are the gateways' pings through bat0.
func (t *Test) Reply(ctx context.Context, after time.Time, except string) (topology.Reply, error) {
	var r gatewayvm.Reply
	if err := t.askFor(ctx, &r, "reply", moment(after), except, left(ctx)); err != nil {
		return topology.Reply{}, err
	}
	return topology.Reply{Gateway: r.Gateway, Sent: time.UnixMicro(r.Sent), At: time.UnixMicro(r.At)}, nil
}
