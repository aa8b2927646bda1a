package clock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// attempt asks the kernel, then every server once. With act it steps the clock and keeps the time. The error is a
// *SetError.
func (g *Gate) attempt(ctx context.Context, n int, act bool) (Result, bool, error) {
	o := g.options()
	l, refused := o.limits()
	res := Result{Source: Unverified, Floor: l.floor, Refused: refused}

	synchronised, err := o.System.Synchronised()
	now := o.System.Now()
	switch {
	case err != nil:
		res.refuse("kernel", "cannot tell whether its clock is synchronised", oneLine(err))
	case synchronised && now.Before(l.possible.From):
		res.refuse("kernel", "its clock is synchronised, yet "+beforeFloor(l.possible.From), stamp(now))
	case synchronised && now.After(l.possible.To):
		res.refuse("kernel", "its clock is synchronised, yet "+tooLate(l.possible.To), stamp(now))
	case synchronised:
		res.Source = FromKernel
		if now.After(l.plausible.To) {
			// It is believed, because a person or a program set it so. It is not kept, because its source is not known.
			res.refuse("kernel", "not kept as the last known time: "+tooLate(l.plausible.To), stamp(now))
		} else if act {
			res.FloorErr = o.keep(now, l, true)
		}
		return res, true, nil
	}

	best, agreed, refusals := g.ask(ctx, o, l, n)
	if best == nil {
		res.Refused = append(res.Refused, refusals...)
		return res, false, nil
	}
	right := best.now()
	if !agreed && (right.Before(l.floor) || right.After(l.floor.AddDate(alone, 0, 0))) {
		agreed = g.repeated(claim{server: best.server, addr: best.addr, time: best.time, at: best.at,
			within: best.distance})
		if !agreed {
			from, reason := at(best.server, best.addr), "alone, and more than a year after the last known time "+
				stamp(l.floor)
			if right.Before(l.floor) {
				reason = beforeFloor(l.floor)
			}
			res.refuse(from, reason, stamp(right)) // first: it tells more than that others are silent
			res.Refused = append(res.Refused, refusals...)
			return res, false, nil
		}
	}
	res.Refused = append(res.Refused, refusals...)
	res.Server, res.Address = best.server, best.addr
	res.Offset = right.Sub(o.System.Now())
	if res.Offset.Abs() > StepThreshold && act {
		if err := g.step(&res, right); err != nil {
			return res, false, err
		}
	}
	res.Source = FromNTP
	if act {
		res.FloorErr = o.keep(right, l, agreed)
	}
	return res, true, nil
}

// restore sets a clock that cannot be right to the floor, as OpenWrt's sysfixtime does at boot with the newest file:
// wrong, but less so, and never ahead of the truth as far as is known.
func (g *Gate) restore(res *Result) error {
	o := g.options()
	l, _ := o.limits()
	now := o.System.Now()
	if l.plausible.has(now) {
		return nil
	}
	res.Offset = l.floor.Sub(now)
	return g.step(res, l.floor)
}

// SetError says that the clock could not be set.
type SetError struct {
	To  time.Time
	Err error
}

func (e *SetError) Error() string {
	hint := ""
	if errors.Is(e.Err, unix.EPERM) {
		hint = " (setting it needs CAP_SYS_TIME)"
	}
	return fmt.Sprintf("clock: cannot be set to %s%s: %v", stamp(e.To), hint, e.Err)
}

func (e *SetError) Unwrap() error { return e.Err }

func (g *Gate) step(res *Result, to time.Time) error {
	if err := g.options().System.Step(to); err != nil {
		return &SetError{To: to, Err: err}
	}
	res.Stepped = true
	return nil
}
