package fleet

import "time"

// epoch is when virtual time begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is virtual time: functions, and when they are to run.
type clock struct {
	now   time.Time
	seq   uint64
	queue []event // a binary heap
}

type event struct {
	at  time.Duration // after the epoch
	seq uint64        // of two at one moment the one that was planned first goes first
	run func()
}

func (e event) before(o event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

func (c *clock) after(d time.Duration, f func()) { c.at(c.now.Add(d), f) }

func (c *clock) at(t time.Time, f func()) {
	c.seq++
	q := append(c.queue, event{t.Sub(epoch), c.seq, f})
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q[i].before(q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
	c.queue = q
}

// every runs f now and after each period, for as long as it gives true.
func (c *clock) every(period time.Duration, f func() bool) {
	if f() {
		c.after(period, func() { c.every(period, f) })
	}
}

// run lets time pass until an event would be later than end.
func (c *clock) run(end time.Time) {
	for len(c.queue) > 0 && c.queue[0].at <= end.Sub(epoch) {
		e := c.pop()
		c.now = epoch.Add(e.at)
		e.run()
	}
	c.now = end
}

func (c *clock) pop() event {
	q := c.queue
	top := q[0]
	last := len(q) - 1
	q[0], q[last] = q[last], event{}
	q = q[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q[child].before(q[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
	c.queue = q
	return top
}
