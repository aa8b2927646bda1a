// Package recovery measures how long a node is gone from its mesh when its agent is started anew, its configuration
// changes or its devices are deleted. What counts is what batman-adv makes of that: a device that is made anew with
// another MAC address is another node to it, and costs a minute.
//
// Each combination of batman-adv's algorithm and of the first hard-interface is a topology of its own, and all run at
// once. In each of them the actions follow each other. Figures are for the report; what fails is only what no busy
// processor makes of it.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"wguplink/agent/batman"
)

// Combination is one kind of mesh.
type Combination struct {
	Algorithm string `json:"algorithm"` // BATMAN_IV or BATMAN_V
	// Primary says that a dummy device, primary0, is the first hard-interface, as on Gluon; else the tunnel is the only
	// one.
	Primary bool `json:"primary0"`
}

func (c Combination) String() string {
	if c.Primary {
		return c.Algorithm + ", primary0"
	}
	return c.Algorithm + ", tunnel only"
}

// Combinations are all that are measured.
var Combinations = []Combination{{"BATMAN_IV", false}, {"BATMAN_IV", true}, {batman.V, false}, {batman.V, true}}

// Row is what one action cost.
type Row struct {
	Combination
	Action string `json:"action"`
	// LostMS is for how long the pings through bat0 were lost, all in all, and TargetMS what it should be at most, on a
	// machine that has its processor for itself.
	LostMS   int64 `json:"lost_ms"`
	TargetMS int64 `json:"target_ms"`
	// DoneMS is when what the action should do was seen done: the agent's part. What is lost beyond that is
	// batman-adv's.
	DoneMS int64  `json:"done_ms"`
	Err    string `json:"error,omitempty"` // it never came back, or what the action should do was never done
}

// gross is more than a busy processor makes of an action, with four of the rounds of 3 s in which batman-adv asks for
// clients beside the target. It is less than what another MAC address costs (30 to 80 s), or a device that is made anew
// twice within 30 s (23 to 46 s).
const gross = 20 * time.Second

// Fault is what is wrong with a row beyond doubt; nil when its figure may be due to a busy processor.
func (r Row) Fault() error {
	switch {
	case r.Err != "":
		return fmt.Errorf("%s: %s: %s", r.Combination, r.Action, r.Err)
	case r.LostMS > gross.Milliseconds():
		return fmt.Errorf("%s: %s: pings through bat0 were lost for %.1f s", r.Combination, r.Action,
			float64(r.LostMS)/1000)
	}
	return nil
}

// String is the row as a line.
func (r Row) String() string {
	if r.Err != "" {
		return fmt.Sprintf("%s: %s: FAILED: %s", r.Combination, r.Action, r.Err)
	}
	return fmt.Sprintf("%s: %s: pings lost for %d ms, done after %d ms", r.Combination, r.Action, r.LostMS, r.DoneMS)
}

// Within says that the figure is within its target.
func (r Row) Within() bool { return r.Err == "" && r.LostMS <= r.TargetMS }

// Faults joins those of all rows.
func Faults(rows []Row) error {
	var errs []error
	for _, r := range rows {
		errs = append(errs, r.Fault())
	}
	return errors.Join(errs...)
}

// Measure measures all combinations at once, with that program, and tells each row when it is known. dir is for their
// files; limit bounds each row. Only the rows whose combination and action match are measured, such as "BATMAN_IV,
// primary0: restart".
func Measure(program, dir string, limit time.Duration, only *regexp.Regexp, tell func(Row)) {
	var tasks sync.WaitGroup
	// Making a topology loads the machine, and is measured by none.
	ready := make(chan struct{})
	var made sync.WaitGroup
	for i, c := range Combinations {
		todo := wanted(c, only)
		if len(todo) == 0 {
			continue
		}
		made.Add(1)
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			together := func() { made.Done(); <-ready }
			if err := measure(c, todo, program, filepath.Join(dir, fmt.Sprint(i)), limit, together, tell); err != nil {
				tell(Row{Combination: c, Action: "set-up", Err: err.Error()})
			}
		}()
	}
	go func() { made.Wait(); close(ready) }()
	tasks.Wait()
}

// wanted are the actions of a combination that match.
func wanted(c Combination, only *regexp.Regexp) (todo []action) {
	for _, a := range actions {
		if only.MatchString(fmt.Sprintf("%s: %s", c, a.name)) {
			todo = append(todo, a)
		}
	}
	return todo
}

// measure goes through the actions in one topology. together waits for the other topologies.
func measure(
	c Combination, todo []action, program, dir string, limit time.Duration, together func(), tell func(Row),
) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		together()
		return err
	}
	// The set-up has as long as several actions.
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*limit, fmt.Errorf("not within %v", 2*limit))
	s, err := newScene(ctx, c, program, dir)
	cancel()
	together()
	if s != nil {
		defer func() { err = errors.Join(err, s.close()) }()
	}
	if err != nil {
		return err
	}
	for _, a := range todo {
		ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("not within %v", limit))
		lost, done, err := s.cost(ctx, a)
		cancel()
		r := Row{
			Combination: c, Action: a.name,
			LostMS: lost.Milliseconds(), DoneMS: done.Milliseconds(), TargetMS: a.target.Milliseconds(),
		}
		if err != nil {
			r.Err = fmt.Sprintf("%v\n%s", err, s.tail())
		}
		tell(r)
		if err != nil {
			return nil // what follows would be measured in a broken mesh
		}
	}
	return nil
}

// Print prints the rows as a table, a line for each action.
func Print(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "%-26s %8s", "pings through bat0 lost", "target")
	for _, c := range Combinations {
		fmt.Fprintf(w, " %21s", c)
	}
	fmt.Fprintln(w)
	var names []string
	for _, r := range rows {
		if !slices.Contains(names, r.Action) {
			names = append(names, r.Action)
		}
	}
	for _, name := range names {
		line, target := "", int64(0)
		for _, c := range Combinations {
			i := slices.IndexFunc(rows, func(r Row) bool { return r.Combination == c && r.Action == name })
			cell := "-"
			if i >= 0 {
				target = rows[i].TargetMS
				cell = fmt.Sprintf("%.1f s", float64(rows[i].LostMS)/1000)
				switch {
				case rows[i].Err != "":
					cell = "never back"
				case !rows[i].Within():
					cell += " (over)"
				}
			}
			line += fmt.Sprintf(" %21s", cell)
		}
		fmt.Fprintf(w, "%-26s %6.0f s%s\n", name, float64(target)/1000, line)
	}
}
