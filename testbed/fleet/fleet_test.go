package fleet

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// small is a fleet for tests: as many requests a second for each node as with 10,000, in less time.
func small(nodes int) Options { return Options{Nodes: nodes, Gateways: 4, Hint: nodes, Seed: 1} }

func met(t *testing.T, r *Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Goals {
		if !g.Met {
			t.Errorf("%s: %s: %s", r.Name, g.Text, g.Got)
		}
	}
}

// The scenarios at a size that takes seconds.
func TestScenarios(t *testing.T) {
	const nodes = 200
	for _, s := range Scenarios() {
		if s.Name == "rebalance" {
			continue // eight hours; make fleet has them
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r, err := s.Run(small(nodes))
			met(t, r, err)
			if len(r.Waits)+r.Without != nodes {
				t.Errorf("%d waits, %d without", len(r.Waits), r.Without)
			}
		})
	}
}

// A fleet that is told nothing of its size asks more than a large one may: what the option is for.
func TestWithoutHint(t *testing.T) {
	t.Parallel()
	peak := func(hint int) int {
		o := small(1000)
		o.Hint = hint
		r, err := Flush(o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Peak(0, forEver)
	}
	if with, without := peak(1000), peak(0); with >= 180 || without < 2*with {
		t.Errorf("at most %d requests a second with the option, %d without", with, without)
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	r, err := Outage(small(20), time.Minute, true)
	if err != nil {
		t.Fatal(err)
	}
	r.Title = `<"all" & more>`
	var b bytes.Buffer
	if err := r.Draw(&b); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&b)
	lines := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d curves", lines)
	}
}

func TestClock(t *testing.T) {
	c := clock{now: epoch}
	var got []string
	note := func(s string) func() { return func() { got = append(got, fmt.Sprintf("%s@%v", s, c.now.Sub(epoch))) } }
	c.after(3*time.Second, note("c"))
	c.after(time.Second, note("a"))
	c.after(time.Second, func() { note("b")(); c.after(time.Second, note("d")) })
	c.after(time.Minute, note("late"))
	c.run(epoch.Add(10 * time.Second))
	if s := fmt.Sprint(got); s != "[a@1s b@1s d@2s c@3s]" || !c.now.Equal(epoch.Add(10*time.Second)) {
		t.Errorf("%s at %v", s, c.now.Sub(epoch))
	}
}

func TestPercentile(t *testing.T) {
	all := []time.Duration{1, 2, 3, 4}
	if percentile(all, 50) != 3 || percentile(all, 100) != 4 || percentile(all, 0) != 1 || percentile(nil, 50) != 0 {
		t.Errorf("%v %v", percentile(all, 50), percentile(all, 100))
	}
	var s series
	s.count(epoch.Add(1500 * time.Millisecond))
	s.count(epoch.Add(1600 * time.Millisecond))
	if got := fmt.Sprint(s.from(epoch, epoch.Add(3*time.Second))); got != "[0 2 0]" {
		t.Error(got)
	}
}
