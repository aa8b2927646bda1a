package uplink

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"time"

	"wguplink/agent/slog"
	"wguplink/agent/tunnel"
)

const (
	// applyEvery is how often the kernel's state is compared with the desired one although nothing has told of a
	// change: a forwarding entry that another program deletes is not worth waking up for each neighbour that the node
	// hears of.
	applyEvery = time.Minute
	// applyGap keeps us from a race with another program that wants a device otherwise: each change of ours is news to
	// it, and each of its to us.
	applyGap = 50 * time.Millisecond
	// applyTimeout bounds one Apply; only the start of a userspace process takes noticeable time.
	applyTimeout = 30 * time.Second
	// applyMost is the longest wait before a failed Apply is tried again.
	applyMost = 30 * time.Second
	// meshEvery is how often to look for neighbours while there is none; batman-adv has no event for it.
	meshEvery = 5 * time.Second
)

// devices brings the kernel's state to the desired one, and remembers what became of it.
type devices struct {
	kernel  Kernel
	log     *slog.Logger
	tried   *tunnel.Desired // the last one; nil before the first
	applied *tunnel.Desired // the last one that was reached; an empty one before the first
	report  tunnel.Report   // of that one
	reached bool            // any was
	err     error           // of the last try
	at      time.Time       // of the last try
	changed time.Time       // of the last one that wanted something else than the one before, or failed
	due     time.Time       // when to compare again though nothing else is wanted
	wait    time.Duration   // after an error, ever longer
	absent  bool            // a device that another program makes does not exist
}

// settle makes the kernel's state what want says, if that is another than before, or due. checked says that it was
// compared because it was due.
func (d *devices) settle(ctx context.Context, want *tunnel.Desired, now time.Time) (checked bool) {
	checked = !now.Before(d.due)
	same := reflect.DeepEqual(want, d.tried)
	if !checked && same {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	r, err := d.kernel.Apply(ctx, *want)
	d.tried, d.at = want, time.Now()
	if !same || err != nil {
		d.changed = d.at
	}
	if err == nil {
		for _, w := range r.Warnings {
			if !slices.Contains(d.report.Warnings, w) {
				d.log.Warn("not all is as wanted", "reason", w)
			}
		}
		d.applied, d.report, d.reached = want, r, true
		d.err, d.wait, d.absent = nil, 0, false
		d.due = d.at.Add(applyEvery)
		if r.Again != 0 {
			d.by(d.at.Add(r.Again))
		}
		return checked
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	d.absent = errors.Is(err, os.ErrNotExist) && len(want.Devices) > 0 && want.Devices[0].Borrowed
	if !d.absent && (d.err == nil || d.err.Error() != err.Error()) {
		d.log.Warn("tunnel not as wanted, trying again", "err", err)
	}
	d.err = err
	d.wait = min(max(2*d.wait, applyGap), applyMost)
	d.due = d.at.Add(d.wait)
	return checked
}

// leave leaves what is there alone, for now.
func (d *devices) leave(now time.Time) { d.due = now.Add(applyEvery) }

// check has the kernel's state compared with the desired one, for something has changed it.
func (d *devices) check(now time.Time) {
	if at := d.at.Add(applyGap); at.After(now) {
		now = at
	}
	d.by(now)
}

// by has it compared at that time at the latest.
func (d *devices) by(at time.Time) {
	if at.Before(d.due) {
		d.due = at
	}
}

// failed says that a device of several could not be made what it should be, while others could.
func (d *devices) failed(device string) bool { return slices.Contains(d.report.Failed, device) }

// mtu is the MTU of a WireGuard device as it was set, in bytes. Without a device of that name it is that of the first
// one; without any, 0.
func (d *devices) mtu(name string) int {
	for _, dev := range d.applied.Devices {
		if dev.Interface == name {
			return dev.MTU
		}
	}
	if len(d.applied.Devices) == 0 {
		return 0
	}
	return d.applied.Devices[0].MTU
}

// lonely names the batman-adv interface that has the tunnel and hears no neighbour on it; "" when there is none such.
func (d *devices) lonely() string {
	if m := d.report.Mesh; m != nil && len(m.Neighbours) == 0 {
		return m.Name
	}
	return ""
}
