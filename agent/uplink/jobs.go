package uplink

import (
	"context"
	"sync"

	"wguplink/agent/crash"
)

// job is work beside the loop. Two with equal keys are the same.
type job struct {
	key any
	run func(ctx context.Context, post func(event))
}

// jobs runs those that are wanted. All methods but those of the jobs themselves belong to the loop.
type jobs struct {
	events  chan<- event
	running map[any]context.CancelFunc // also those that are done, as long as they are wanted
	wg      sync.WaitGroup
}

// done is an event of a job.
type done struct {
	key any
	event
}

func newJobs(events chan<- event) *jobs {
	return &jobs{events: events, running: map[any]context.CancelFunc{}}
}

// want starts the jobs that are not under way, and ends those that are not wanted any more. It may be called again with
// the same value: that changes nothing. The jobs end with ctx.
func (j *jobs) want(ctx context.Context, wanted []job) {
	for key, cancel := range j.running {
		keep := false
		for _, w := range wanted {
			keep = keep || w.key == key
		}
		if !keep {
			cancel()
			delete(j.running, key)
		}
	}
	for _, w := range wanted {
		if j.running[w.key] == nil {
			j.start(ctx, w)
		}
	}
}

func (j *jobs) start(ctx context.Context, w job) {
	ctx, cancel := context.WithCancel(ctx)
	j.running[w.key] = cancel
	j.wg.Add(1)
	go func() {
		defer j.wg.Done()
		defer crash.Tell()
		w.run(ctx, func(ev event) {
			select {
			case j.events <- done{w.key, ev}:
			case <-ctx.Done():
			}
		})
	}()
}

// take gives the event of a job; ok is false when the job is not wanted any more.
func (j *jobs) take(d done) (ev event, ok bool) { return d.event, j.running[d.key] != nil }

// wait waits for all to end.
func (j *jobs) wait() { j.wg.Wait() }
