package hooks

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"wguplink/agent/slog"
)

const (
	// DefaultDir is where hooks are.
	DefaultDir = "/etc/wguplink/hooks.d"
	// DefaultTimeout is what one hook may take.
	DefaultTimeout = 60 * time.Second
	// Farewell is what all hooks together may take after the end of Run's context.
	Farewell = 10 * time.Second
)

// Options of a Runner. The zero value of each field is its default.
type Options struct {
	Dir     string        // DefaultDir
	Log     *slog.Logger  // slog.Default
	Timeout time.Duration // of one hook; DefaultTimeout
	// OnResult, if not nil, is called by Run's goroutine after each hook, when Results has the result.
	OnResult func(uplink string, r Result)
}

// Result is how a hook ended when it was last run for an uplink.
type Result struct {
	Hook  string `json:"hook"` // file name
	Event string `json:"event"`
	// Exit is the exit code ("0" is success), "timed out", "signal: " and its name, or why the hook could not be
	// started.
	Exit string `json:"exit"`
	Last string `json:"last_line,omitempty"` // of its output, at most maxLine bytes
}

// Runner runs hooks. All methods are safe for concurrent use, but Run runs once.
type Runner struct {
	dir      string
	log      *slog.Logger
	timeout  time.Duration
	farewell time.Duration
	onResult func(string, Result)
	wake     chan struct{}

	mu      sync.Mutex
	pending []Event // at most one for each uplink, and one Stranded, in order of arrival of the first
	over    bool    // Run has returned
	results map[string][]Result

	refused map[string]string // Run's: what was warned about, path to reason
}

// New makes a Runner. Nothing is run before Run.
func New(o Options) *Runner {
	r := &Runner{
		dir: cmp.Or(o.Dir, DefaultDir), log: cmp.Or(o.Log, slog.Default()), timeout: cmp.Or(o.Timeout, DefaultTimeout),
		farewell: Farewell, onResult: o.OnResult, wake: make(chan struct{}, 1), results: map[string][]Result{},
	}
	if r.onResult == nil {
		r.onResult = func(string, Result) {}
	}
	return r
}

// Post hands an event over, and never waits. It takes the place of an event of the same uplink that still waits; but
// Stranded stands beside the others, and is dropped when the uplink comes up meanwhile. After Run has returned it does
// nothing.
func (r *Runner) Post(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if e.Event == Up {
		r.pending = slices.DeleteFunc(r.pending, func(p Event) bool {
			return p.Uplink == e.Uplink &&
				p.Event == Stranded
		})
	}
	i := slices.IndexFunc(r.pending, func(p Event) bool {
		return p.Uplink == e.Uplink && (p.Event == Stranded) == (e.Event == Stranded)
	})
	if i < 0 {
		r.pending = append(r.pending, e)
	} else {
		// Hooks that set things up on up must not miss it.
		if r.pending[i].Event == Up && e.Event == Change {
			e.Event = Up
		}
		r.pending[i] = e
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run runs hooks until ctx ends. Events that wait, or are posted meanwhile, still run then, so that the last down
// reaches the hooks. They and the hook that is at work have the time Farewell. So end ctx only when the last event is
// posted.
func (r *Runner) Run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.farewell, stop) })
	for {
		for e, ok := r.next(); ok; e, ok = r.next() {
			r.run(work, e)
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			if r.finish() {
				return
			}
		}
	}
}

func (r *Runner) next() (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return Event{}, false
	}
	e := r.pending[0]
	r.pending = slices.Delete(r.pending, 0, 1)
	return e, true
}

// finish closes the Runner, unless something waits.
func (r *Runner) finish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = len(r.pending) == 0
	return r.over
}

// Results is how each hook ended when it was last run for the uplink, in order of their names. Hooks that are no longer
// in the folder are left out.
func (r *Runner) Results(uplink string) []Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.results[uplink])
}

// run runs all hooks for one event.
func (r *Runner) run(ctx context.Context, e Event) {
	log := r.log.With("uplink", e.Uplink, "event", e.Event)
	names, refused, err := hooksIn(r.dir)
	if err != nil {
		log.Warn("no hooks are run", "err", err)
		return
	}
	r.warn(refused)
	r.forget(e.Uplink, names)
	if len(names) == 0 {
		return
	}
	input, err := e.line()
	if err != nil {
		log.Warn("no hooks are run: the event cannot be written as JSON", "err", err)
		return
	}
	env := e.environ()
	for i, name := range names {
		if ctx.Err() != nil {
			log.Warn("no time is left for hooks", "left_out", names[i:])
			return
		}
		log := log.With("hook", name)
		c := child{path: filepath.Join(r.dir, name), event: e.Event, env: env, input: input,
			timeout: r.timeout, log: log}
		end := c.run(ctx)
		switch {
		case end.err != nil:
			log.Warn("hook could not be run", "err", end.err)
		case end.timedOut:
			log.Warn("hook took too long and was killed", "after", end.after.Round(time.Millisecond))
		case end.signal != 0:
			log.Warn("hook was killed", "signal", end.signal.String())
		case end.code != 0:
			log.Warn("hook failed", "code", end.code)
		}
		r.record(e.Uplink, Result{Hook: name, Event: e.Event, Exit: end.String(), Last: end.last})
	}
}

// warn says once about each file why it is not run.
func (r *Runner) warn(refused map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(refused)) {
		if r.refused[path] != refused[path] {
			r.log.Warn("hook is not run", "path", path, "reason", refused[path])
		}
	}
	r.refused = refused
}

// forget drops the results of hooks that are not there any more.
func (r *Runner) forget(uplink string, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[uplink] = slices.DeleteFunc(r.results[uplink],
		func(have Result) bool { return !slices.Contains(names, have.Hook) })
}

func (r *Runner) record(uplink string, result Result) {
	r.mu.Lock()
	list := r.results[uplink]
	i := 0 // sorted by insertion: the list is short, and the library's functions are large for each type
	for i < len(list) && list[i].Hook < result.Hook {
		i++
	}
	if i == len(list) || list[i].Hook != result.Hook {
		list = append(list, result)
		copy(list[i+1:], list[i:])
	}
	list[i] = result
	r.results[uplink] = list
	r.mu.Unlock()
	r.onResult(uplink, result)
}

// ending is how a run of a hook ended.
type ending struct {
	err      error // could not be started
	timedOut bool
	after    time.Duration // that it ran
	signal   signal        // 0: none
	code     int
	last     string // line of output
}

func (e ending) String() string {
	switch {
	case e.err != nil:
		return e.err.Error()
	case e.timedOut:
		return "timed out"
	case e.signal != 0:
		return "signal: " + e.signal.String()
	}
	return strconv.Itoa(e.code)
}
