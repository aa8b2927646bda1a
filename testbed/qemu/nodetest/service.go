package nodetest

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// restartTries is how often the agent is killed until no ping is lost. What the restart itself cost would be lost each
// time; an emulated network card whose processor waits for its turn drops a frame now and then.
const restartTries = 3

// restartLost is what a busy processor may lose each time; a tunnel that is made anew loses more.
const restartLost = 2 * time.Second

// streak is how many answers in a row show that the mesh is well.
const streak = 40

// lost is for how long the pings of the gateway in use were lost from a moment on, until they go through again.
func (t *Test) lost(ctx context.Context, from time.Time) (ms int64, err error) {
	out, err := t.ask(ctx, "lost", t.gateway, moment(from), strconv.Itoa(streak), left(ctx))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(out, 10, 64)
}

// restarted has the service started anew, as an owner or an upgrade does: the tunnel stays in place. How much is lost
// is a figure, for a processor that waits for its turn loses frames, too.
func (t *Test) restarted(ctx context.Context) (string, error) {
	_, from, err := t.happens(ctx, scenario.RestartAgent)
	if err != nil {
		return "", err
	}
	t.measured.RestartMS, err = t.lost(ctx, from)
	return fmt.Sprintf("pings lost for %d ms", t.measured.RestartMS), err
}

// deleted deletes the VXLAN. It comes again under its MAC address, so that the mesh knows the node at once.
func (t *Test) deleted(ctx context.Context) (string, error) {
	if err := topology.Pause(ctx, time.Until(t.made.Add(jumpGap))); err != nil {
		return "", err
	}
	address := "/sys/class/net/" + vxlan + "/address"
	was, err := t.Node.Read(ctx, address)
	if err != nil {
		return "", err
	}
	_, from, err := t.happens(ctx, scenario.DeleteVXLAN)
	if err != nil {
		return "", err
	}
	if t.measured.DeletedMS, err = t.lost(ctx, from); err != nil {
		return "", err
	}
	is, err := t.Node.Read(ctx, address)
	if err == nil && is != was {
		err = fmt.Errorf("%s had the address %s, and has %s", vxlan, trim(was), trim(is))
	}
	return fmt.Sprintf("pings lost for %d ms", t.measured.DeletedMS), err
}

// jumpGap is how long after a device was made batman-adv takes another jump of its sequence number
// (BATADV_RESET_PROTECTION_MS), and a little more: within it a device that is made anew is not heard.
const jumpGap = 32 * time.Second

// vxlan is the agent's VXLAN device, by default.
const vxlan = "mesh-vpn"

// restart kills the agent; its tunnel must not notice.
func (t *Test) restart(ctx context.Context) (string, error) {
	lost, least := "", int64(1<<62)
	for range restartTries {
		c, err := t.killed(ctx)
		if err != nil {
			return "", err
		}
		if c.Sent > 0 && c.Answered == c.Sent {
			return fmt.Sprintf("%d of %d pings answered%s", c.Answered, c.Sent, lost), nil
		}
		lost += fmt.Sprintf("; %d of %d", c.Answered, c.Sent)
		least = min(least, int64(c.Sent-c.Answered)*pingEvery.Milliseconds())
	}
	if least > restartLost.Milliseconds() {
		return "", fmt.Errorf("pings are lost each time%s", lost)
	}
	return fmt.Sprintf("a few pings are lost each time%s", lost), nil
}

// killed kills the agent once, and counts the pings until it is connected again.
func (t *Test) killed(ctx context.Context) (c gatewayvm.Count, err error) {
	_, from, err := t.happens(ctx, scenario.KillAgent)
	if err != nil {
		return c, err
	}
	to, err := t.Now(ctx)
	if err != nil {
		return c, err
	}
	// The last request before that moment has its answer when a later one has.
	if _, err := t.Reply(ctx, to, ""); err != nil {
		return c, err
	}
	err = t.askFor(ctx, &c, "count", t.gateway, moment(from), moment(to))
	return c, err
}
