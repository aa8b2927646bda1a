package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultRuns is how often each scenario runs unless it is told.
const DefaultRuns = 5

// atOnce is how many topologies there are at a time, beside a part that outlasts all others. The scenarios mostly wait,
// but what they measure must not wait for the CPU.
const atOnce = 4

// lastLines is how much of the agent's output is shown with a failure.
const lastLines = 60

// group is one row group of the report. Its parts have a topology each.
type group struct {
	name  string
	most  int // runs of it unless it is asked for by name; 0: as many as of the others
	parts []part
}

// part is one course of events, from the making of a topology to its end.
type part struct {
	name    string
	lasts   time.Duration // about; it bounds nothing but says what to begin with
	limit   time.Duration // every wait in it ends then
	metrics []Metric
	run     func(*Measurement) error
}

// Config of Run.
type Config struct {
	Binary string    // the agent, userspace variant, from vclock.Prepare; absolute
	Plain  string    // the same as it was built, for a node whose clock is never touched; absolute
	Dir    string    // for the topologies' files
	Runs   int       // 0: DefaultRuns
	Again  int       // how often to measure again what has missed a target of time; then the median counts
	Only   string    // one scenario; "": all
	Log    io.Writer // progress and failures
}

// job is one run of a part.
type job struct {
	scenario *group
	part     *part
	run      int // from 0
	runs     int
}

func (j job) String() string {
	s := j.scenario.name
	if j.part.name != "" {
		s += ", " + j.part.name
	}
	return fmt.Sprintf("%s, run %d of %d", s, j.run+1, j.runs)
}

// Names gives the scenarios in the order of the report.
func Names() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// Run runs the scenarios and gives their figures. The error tells that a scenario failed or a target was missed; the
// rows are good for printing all the same.
func Run(ctx context.Context, c Config) ([]Row, error) {
	chosen, jobs, err := plan(scenarios, c.Only, c.Runs)
	if err != nil {
		return nil, err
	}
	r := newRunner(c)
	failed := r.all(ctx, jobs)
	rows, missed := r.report(chosen)
	if missed > 0 && failed == 0 && c.Again > 0 {
		failed = r.all(ctx, r.again(chosen))
		rows, missed = r.report(chosen)
	}
	switch {
	case failed > 0:
		return rows, fmt.Errorf("%d runs failed; %d of %d metrics missed their target", failed, missed, len(rows))
	case missed > 0:
		return rows, fmt.Errorf("%d of %d metrics missed their target", missed, len(rows))
	}
	return rows, nil
}

// again gives the jobs that measure once more what has missed a target of time.
func (r *runner) again(chosen []*group) (jobs []job) {
	for _, s := range chosen {
		for i := range s.parts {
			p, runs := &s.parts[i], runsOf(s, r.c.Only, r.c.Runs)
			for k, m := range p.metrics {
				if v := r.values[p]; m.AtMost || m.Informs || row(s.name, m, runs, column(v, k)).OK || r.repeated[p] {
					continue
				}
				r.repeated[p] = true
				for run := range r.c.Again {
					jobs = append(jobs, job{s, p, runs + run, runs + r.c.Again})
				}
			}
		}
	}
	return jobs
}

// column gives one metric's values out of those of all runs.
func column(runs [][]float64, metric int) (values []float64) {
	for _, run := range runs {
		values = append(values, run[metric])
	}
	return values
}

// report makes the rows, and says how many targets were missed.
func (r *runner) report(chosen []*group) (rows []Row, missed int) {
	for _, s := range chosen {
		for i := range s.parts {
			p := &s.parts[i]
			for k, m := range p.metrics {
				runs := runsOf(s, r.c.Only, r.c.Runs)
				if r.repeated[p] {
					runs += r.c.Again
				}
				row := row(s.name, m, runs, column(r.values[p], k))
				if r.repeated[p] && !m.AtMost && row.Runs == runs {
					row.OK = m.good(row.P50)
				}
				row.Conditions = r.where[p]
				rows = append(rows, row)
				if !row.OK && !(m.Informs && row.Runs > 0) {
					missed++
				}
			}
		}
	}
	return rows, missed
}

// plan says what to run, the longest first. only is a scenario's name, or all but one as !name; "" is all.
func plan(all []group, only string, runs int) (chosen []*group, jobs []job, err error) {
	var names []string
	known := !strings.HasPrefix(only, "!")
	for i := range all {
		s := &all[i]
		names = append(names, s.name)
		but, without := strings.CutPrefix(only, "!")
		if only != "" && (s.name == but) == without {
			known = known || without
			continue
		}
		chosen = append(chosen, s)
		n := runsOf(s, only, runs)
		for k := range s.parts {
			for run := range n {
				jobs = append(jobs, job{s, &s.parts[k], run, n})
			}
		}
	}
	if len(chosen) == 0 || !known {
		return nil, nil, fmt.Errorf("no scenario %q; there are %s", only, strings.Join(names, ", "))
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.part.lasts, a.part.lasts) })
	return chosen, jobs, nil
}

func runsOf(s *group, only string, runs int) int {
	if runs <= 0 {
		runs = DefaultRuns
	}
	if s.most > 0 && s.name != only {
		runs = min(runs, s.most)
	}
	return runs
}

// runner runs jobs.
type runner struct {
	c        Config
	starting chan struct{} // held by the one topology that is being made, until its node is connected

	mu     sync.Mutex
	values map[*part][][]float64 // of each run, in the order of the part's metrics
	failed int

	repeated map[*part]bool   // measured again, so that the median counts
	where    map[*part]string // the conditions
}

func newRunner(c Config) *runner {
	return &runner{c: c, starting: make(chan struct{}, 1), values: map[*part][][]float64{},
		repeated: map[*part]bool{}, where: map[*part]string{}}
}

// all runs the jobs, several at a time, and says how many failed.
func (r *runner) all(ctx context.Context, jobs []job) int {
	queue := make(chan job)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for j := range queue {
				r.one(ctx, j)
			}
		}()
	}
	for _, j := range jobs {
		if j.part.lasts < outlasting || j.runs > 1 {
			queue <- j
			continue
		}
		workers.Add(1)
		go func() {
			defer workers.Done()
			r.one(ctx, j)
		}()
	}
	close(queue)
	workers.Wait()
	return r.failed
}

// outlasting parts that run once take no place of others.
const outlasting = 5 * time.Minute

// one runs a job, and keeps what it measured.
func (r *runner) one(ctx context.Context, j job) {
	if ctx.Err() != nil { // the user has interrupted us, and knows
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed++
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.part.limit, fmt.Errorf("the run took longer than %v", j.part.limit))
	defer cancel()
	began := time.Now()
	t := &Measurement{Run: j.run, c: r.c, ctx: ctx, starting: r.starting, values: map[string]float64{}}
	err := t.live(j)
	values := make([]float64, len(j.part.metrics))
	var said []string
	bad := err != nil
	for i, m := range j.part.metrics {
		v, ok := t.values[m.Name]
		if !ok {
			err = errors.Join(err, fmt.Errorf("%q was not measured", m.Name))
			continue
		}
		values[i] = v
		missed := ""
		if !m.good(v) {
			bad, missed = true, " MISSED"
		}
		said = append(said, strings.TrimRight(m.Name+": "+number(v)+" "+m.Unit, " ")+missed)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.c.Log, "%s (%.0f s): %s\n", j, time.Since(began).Seconds(), strings.Join(said, "; "))
	for _, n := range t.notes {
		fmt.Fprintln(r.c.Log, "   ", n)
	}
	if err != nil {
		r.failed++
		fmt.Fprintf(r.c.Log, "%s FAILED: %v\n", j, err)
	} else {
		r.values[j.part] = append(r.values[j.part], values)
		r.where[j.part] = t.where
	}
	if err != nil || bad {
		for _, l := range t.last {
			fmt.Fprintln(r.c.Log, "   ", l)
		}
	}
}

// live is the whole life of a measurement.
func (t *Measurement) live(j job) (err error) {
	if t.dir, err = os.MkdirTemp(t.c.Dir, "topology-"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, t.close(), os.RemoveAll(t.dir))
	}()
	if t.dir, err = filepath.Abs(t.dir); err != nil {
		return err
	}
	return j.part.run(t)
}
