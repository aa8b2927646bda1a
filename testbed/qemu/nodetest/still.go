package nodetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errStoodStill says that a step failed in a machine that had stood still, in this step or before, which proves
// nothing: its clock, once set, is behind from then on.
//
// QEMU's MIPS processor loses an interrupt of its timer now and then when its threads have to wait for each other. Then
// no timer goes off before the processor's counter comes round again, and that turn is missing from the machine's
// clock: 2^32 ticks of 6 ns, 25.77 s. Our own machines do without that timer (package guest), a user's image may not.
var errStoodStill = errors.New("the machine stood still")

// still is how much time has to be missing: more than a slow console makes of it.
const still = 2 * time.Second

// uptime is the time since a machine's start, and when that was read.
type uptime struct {
	at time.Time
	up time.Duration
}

// missing is the time that passed here and not in the machine, between two readings; 0 when it was started anew.
func missing(a, b uptime) time.Duration {
	if a.at.IsZero() || b.up < a.up {
		return 0
	}
	return b.at.Sub(a.at) - (b.up - a.up)
}

// stood looks for how long the machine has stood still since the last look.
func (t *Test) stood(ctx context.Context) (time.Duration, error) {
	text, err := t.Node.Read(ctx, "/proc/uptime")
	if err != nil {
		return 0, err
	}
	now := uptime{at: time.Now()}
	if now.up, err = parseUptime(text); err != nil {
		return 0, err
	}
	d := missing(t.seen, now)
	t.seen = now
	if d < still {
		return 0, nil
	}
	return d, nil
}

// excuse adds to a step's error that the machine has stood still since the scenario began.
func (t *Test) excuse(err error) error {
	if err == nil || t.Run.StoodStillMS == 0 {
		return err
	}
	return fmt.Errorf("%w, and %w for %.1f s", err, errStoodStill, float64(t.Run.StoodStillMS)/1000)
}

// parseUptime reads proc_uptime(5): seconds since the start, and those of idle processors.
func parseUptime(text string) (time.Duration, error) {
	word, _, _ := strings.Cut(text, " ")
	s, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return 0, fmt.Errorf("uptime: %w", err)
	}
	return time.Duration(s * float64(time.Second)), nil
}
