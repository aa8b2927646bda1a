package clock

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// agreement is how far apart two honest servers may be, besides what the way to each of them costs.
const agreement = time.Second

// election is the outcome of comparing answers.
type election struct {
	group []*answer // the largest set that agrees
	tied  bool      // another set that has none of these is as large
}

// elect finds the largest set of answers that agree. Two agree when they differ by no more than a second and both root
// distances: when the spans of time that they stand for overlap. Spans that overlap in pairs have a point in common,
// so each set shows up at the beginning of one of its spans (Marzullo's algorithm, for few spans).
func elect(answers []*answer) election {
	var groups [][]*answer
	for _, first := range answers {
		var group []*answer
		for _, a := range answers {
			// first begins at -distance, relative to its own time; a must span that point.
			begin := -(agreement/2 + first.distance)
			mid, half := a.ahead(first), agreement/2+a.distance
			if mid-half <= begin && begin <= mid+half {
				group = append(group, a)
			}
		}
		groups = append(groups, group)
	}
	var e election
	for _, group := range groups {
		switch {
		case len(group) > len(e.group):
			e = election{group: group}
		case len(group) == len(e.group) && !slices.ContainsFunc(group,
			func(a *answer) bool { return slices.Contains(e.group, a) }):
			e.tied = true
		}
	}
	return e
}

func (e election) majority() bool { return len(e.group) > 1 && !e.tied }

// majority tells whether the answers so far are enough to decide.
func majority(answers []*answer) bool { return elect(distinct(answers)).majority() }

// distinct leaves out a server that is there twice: two names may mean one server, which has one vote.
func distinct(answers []*answer) (voices []*answer) {
	for _, a := range answers {
		if !slices.ContainsFunc(voices, func(v *answer) bool { return v.addr == a.addr }) {
			voices = append(voices, a)
		}
	}
	return voices
}

// decide gives the answer to believe, the nearest one of a majority, and says of each of the others what is wrong with
// it. Where none has a majority, those before the floor are left out. An answer that is left alone is given too, for
// there is no other server to contradict it; agreed is for a majority.
func decide(answers []*answer, floor time.Time) (best *answer, agreed bool, lost map[*answer]*Refusal) {
	lost = map[*answer]*Refusal{}
	voices := distinct(answers)
	e := elect(voices)
	if !e.majority() && len(voices) > 1 {
		later := slices.DeleteFunc(slices.Clone(voices), func(a *answer) bool { return a.now().Before(floor) })
		if len(later) > 0 && len(later) < len(voices) {
			for _, a := range voices {
				if !slices.Contains(later, a) {
					lost[a] = &Refusal{From: at(a.server, a.addr), Reason: beforeFloor(floor), Value: stamp(a.now())}
				}
			}
			voices, e = later, elect(later)
		}
	}
	agreed = e.majority()
	if agreed || len(voices) == 1 {
		best = slices.MinFunc(e.group, func(a, b *answer) int { return cmp.Compare(a.distance, b.distance) })
	}
	for _, a := range voices {
		from := at(a.server, a.addr)
		switch {
		case best == nil:
			lost[a] = &Refusal{From: from, Reason: "the servers contradict each other, and none has a majority",
				Value: stamp(a.now())}
		case !slices.Contains(e.group, a):
			lost[a] = &Refusal{From: from, Reason: fmt.Sprintf("contradicts %d servers that agree", len(e.group)),
				Value: fmt.Sprintf("%s, %s off", stamp(a.now()), a.ahead(best).Round(time.Millisecond))}
		}
	}
	return best, agreed, lost
}
