package measure

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"wguplink/testbed/line"
)

var (
	jitterSwitches     = Metric{Name: "switches in 4 minutes", AtMost: true}
	jitterIdleSwitches = Metric{Name: "switches in 4 minutes, idle", AtMost: true}
)

// A jittery line, as LTE at the edge of a cell, or a radio link in rain: round trips between 20 and 1500 ms that change
// within seconds, and now and then three seconds without a packet.
const (
	jitterTime  = 4 * time.Minute
	jitterOften = 200 * time.Millisecond
	leastDelay  = 10 * time.Millisecond  // one way
	mostDelay   = 750 * time.Millisecond // one way
	leastSpell  = 300 * time.Millisecond // with one delay
	mostSpell   = 3 * time.Second
	burst       = 3 * time.Second
	leastPause  = 5 * time.Second // between two bursts
	mostPause   = 25 * time.Second
)

// jitteryBusy has a few frames that are answered all the time, jitteryIdle none.
func jitteryBusy(t *Measurement) error { return t.jittery(jitterSwitches, true) }

func jitteryIdle(t *Measurement) error { return t.jittery(jitterIdleSwitches, false) }

// jittery connects on a good line, which is a jittery one then.
func (t *Measurement) jittery(m Metric, busy bool) error {
	first, before, err := t.onLine()
	if err != nil {
		return err
	}
	t.frames.Close()
	if busy {
		t.frames = t.Layer2("mesh-vpn", jitterOften)
	}
	began := time.Now()
	spells, bursts, err := t.jitter(began.Add(jitterTime))
	if err != nil {
		return err
	}
	if busy {
		sent, answered := t.frames.Count(began, time.Now())
		t.note("%d delays, %d bursts; of %d frames %d were answered", spells, bursts, sent, answered)
	} else {
		t.note("%d delays, %d bursts", spells, bursts)
		t.frames = t.Layer2("mesh-vpn", jitterOften)
	}
	t.Line.Set(line.Shape{}, line.Shape{})
	return t.counted(m, before, first.Gateway)
}

// jitter shapes the line until then, and says how often it changed.
func (t *Measurement) jitter(until time.Time) (spells, bursts int, err error) {
	r := rand.New(rand.NewPCG(uint64(t.Run), uint64(t.Run)))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(r.Int64N(int64(most-least)))
	}
	up0, down0 := t.Line.Stats()
	next := time.Now().Add(between(leastPause, mostPause))
	for now := time.Now(); now.Before(until); now = time.Now() {
		shape := line.Shape{Delay: between(leastDelay, mostDelay)}
		spell := min(between(leastSpell, mostSpell), max(0, next.Sub(now)))
		if spell == 0 {
			bursts++
			shape.Loss, spell = 1, burst
			next = now.Add(burst + between(leastPause, mostPause))
		}
		spells++
		t.Line.Set(shape, shape)
		if err := t.pause(spell); err != nil {
			return spells, bursts, err
		}
	}
	up, down := t.Line.Stats()
	if up.Lost == up0.Lost || down.Passed == down0.Passed || bursts < 3 {
		err = errors.Join(err, fmt.Errorf("the line was not as bad as it was meant to be: %d bursts, up %+v, down %+v",
			bursts, up, down))
	}
	return spells, bursts, err
}
