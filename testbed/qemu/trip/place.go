package trip

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"wguplink/testbed/qemu/farside"
	"wguplink/testbed/world"
)

// Now implements scenario.Place. The clock is that of the machine with the gateways, from its start on.
func (t *Trip) Now(ctx context.Context) (time.Time, error) {
	out, err := t.far(ctx, "now")
	if err != nil {
		return time.Time{}, err
	}
	us, err := strconv.ParseInt(out, 10, 64)
	return time.UnixMicro(us), err
}

// moment is what the far side calls a time of its clock.
func moment(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// Happen implements scenario.Place.
func (t *Trip) Happen(ctx context.Context, e world.Incident, gateway string) error {
	_, err := t.far(ctx, "happen", string(e), gateway)
	return err
}

// Delete implements scenario.Place.
func (t *Trip) Delete(ctx context.Context, device string) error { return t.Node.Delete(ctx, device) }

// Restart implements scenario.Place.
func (t *Trip) Restart(ctx context.Context) error { return t.Node.Restart(ctx) }

// Kill implements scenario.Place.
func (t *Trip) Kill(ctx context.Context) error { return t.Node.Kill(ctx) }

// Reconnect implements scenario.Place.
func (t *Trip) Reconnect(ctx context.Context) error {
	r, err := t.Node.Agent(ctx, "reconnect")
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("wguplink reconnect: code %d: %s", r.Code, r.Out)
	}
	return err
}

// Reply implements scenario.Place: the packets are the gateways' pings through bat0.
func (t *Trip) Reply(ctx context.Context, after time.Time, except string) (world.Reply, error) {
	out, err := t.far(ctx, "reply", moment(after), except, left(ctx))
	if err != nil {
		return world.Reply{}, err
	}
	var r farside.Reply
	err = json.Unmarshal([]byte(out), &r)
	return world.Reply{Gateway: r.Gateway, Sent: time.UnixMicro(r.Sent), At: time.UnixMicro(r.At)}, err
}
