package config

import (
	"slices"
	"strings"
)

// Run is a configuration to run with, mistakes and all.
type Run struct {
	Config
	// Mistakes are what is wrong with the file, one by one. What stands in Config is what can be run in spite of them.
	Mistakes Problems
}

// LoadToRun reads the configuration as LoadFile does, but one mistake does not stop a node: an optional value that is wrong
// gives way to its default, and a gateway or an uplink that cannot be as the file wants it is left out. An uplink that is left
// out has its Fault set, and is not enabled. A mistake in an option that restricts leaves out what the option guards.
//
// The error is that of a file that cannot be read at all.
func LoadToRun(tree Reader, file string) (*Run, error) {
	l, err := open(tree, file)
	if err != nil {
		return nil, err
	}
	l.readAll()
	l.check()
	run := &Run{Mistakes: l.sorted()}
	out := make(map[string]verdict) // by the section's shown name
	ignored := make(map[string]bool)
	// Each round leaves out more, or is the last: what is left out can be what another section needs.
	for {
		l = &loader{tree: tree, file: file, lenient: true, out: out, ignored: ignored}
		l.readAll()
		cfg := l.check()
		changed := false
		for _, p := range l.sorted() {
			if !slices.Contains(run.Mistakes, p) {
				run.Mistakes = append(run.Mistakes, p)
			}
			changed = l.judge(p) || changed
		}
		if !changed {
			run.Config = *cfg
			return run, nil
		}
	}
}

// verdict is why a section is left out.
type verdict struct {
	reason string
	closed bool // by an option that restricts
}

// judge decides what one problem costs. It returns whether that is more than what is known already.
func (l *loader) judge(p Problem) bool {
	i := slices.IndexFunc(l.drafts, func(d *draft) bool { return d.shown == p.Section })
	if i < 0 || l.drafts[i].typ == typeGlobal && p.Option == "" {
		return false // a section of no known type, or one too many
	}
	d := l.drafts[i]
	if _, known := l.out[p.Section]; known || d.typ == typeUplink && d.idle() {
		return false
	}
	closed := restricts(p.Option)
	leave := closed || p.Option == "" || slices.Contains(l.fatal, p)
	isOption := slices.ContainsFunc(table(d.typ), func(o option) bool { return o.name == p.Option })
	switch d.typ {
	case typeGlobal:
		leave = false
	case typeGateway:
		leave = leave || isOption && (p.Option != "endpoint" || len(d.gateway.Endpoints) == 0)
	}
	if leave {
		l.out[p.Section] = verdict{p.Error(), closed}
		return true
	}
	place := p.Section + "." + p.Option
	if l.ignored[place] || d.partly[p.Option] {
		return false
	}
	l.ignored[place] = true
	return true
}

// restricting are the options whose default allows more than what the file wants.
var restricting = []string{
	"enabled", "broker_pin", "broker_ca", "config_pubkey", "address_family", "fwmark", "wan_device", "allowed_ips", "route_allowed_ips",
}

// restricts tells whether an option restricts, or may be meant to: its name is near that of one.
func restricts(name string) bool {
	name = strings.ToLower(name)
	if slices.ContainsFunc(uplinkOptions, func(o option) bool { return o.name == name }) ||
		slices.ContainsFunc(gatewayOptions, func(o option) bool { return o.name == name }) {
		return slices.Contains(restricting, name)
	}
	// The word that other packages have for it.
	if distance(name, "disabled") <= 1 {
		return true
	}
	return slices.ContainsFunc(restricting, func(r string) bool { return distance(name, r) <= max(2, len(r)/4) })
}

// distance counts the bytes to insert, delete, replace, or swap with the next, to make b of a.
func distance(a, b string) int {
	if len(a) > 2*len(b)+4 {
		return len(a)
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
