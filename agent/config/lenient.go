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

// LoadToRun reads the configuration as LoadFile does, but one mistake does not stop a node: an optional value that is
// wrong gives way to its default, and a gateway or an uplink that cannot be as the file wants it is left out. An uplink
// that is left out has its Fault set, and is not enabled. A mistake in an option that restricts leaves out what the
// option guards, and one that may hide the private key has KeyDoubt set.
//
// The error is that of a file that cannot be read at all, of type *Damage where there is one.
func LoadToRun(tree Reader, file string) (*Run, error) {
	l, err := open(tree, file)
	if err != nil {
		return nil, err
	}
	l.readAll()
	cfg := l.check()
	run := &Run{Config: *cfg, Mistakes: l.sorted()}
	run.Unused, run.Doubts = l.unused, l.doubts
	if len(run.Mistakes) == 0 {
		return run, nil
	}
	fixes := fixes{out: make(map[string]verdict), ignored: make(map[string]bool), doubt: make(map[string]string)}
	// Each round leaves out more, or is the last: what is left out can be what another section needs.
	for {
		l = &loader{tree: tree, file: file, lenient: true, fixes: fixes}
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
			run.Unused, run.Doubts = l.unused, l.doubts
			return run, nil
		}
	}
}

// fixes is what LoadToRun does about mistakes. Sections go by the names that are shown.
type fixes struct {
	out     map[string]verdict // sections to leave out
	ignored map[string]bool    // "section.option" that is to have its default
	doubt   map[string]string  // uplinks whose private key a mistake may hide, and which
}

// verdict is why a section is left out.
type verdict struct {
	reason string
	closed bool // by an option that restricts
}

// judge decides what one problem costs. It returns whether that is more than what is known already.
func (l *loader) judge(p Problem) bool {
	i := slices.IndexFunc(l.drafts, func(d *draft) bool { return d.shown == p.Section })
	if i < 0 {
		return false // a section of no known type
	}
	d := l.drafts[i]
	if _, known := l.out[p.Section]; known || d.typ == typeUplink && d.idle() {
		return false
	}
	changed := l.doubtKeys(d, p)
	closed := l.unguards(d, p.Option)
	leave := closed || p.Option == "" || slices.Contains(l.fatal, p)
	switch d.typ {
	case typeGlobal:
		if closed {
			return l.closeAll(p) || changed
		}
		if p.Option == "" {
			return changed // one too many
		}
		leave = false
	case typeUplink:
		leave = leave || meansKeyFile(p.Option) && !d.good("key_file") || l.meansSeedKey(d, p.Option)
	case typeGateway:
		leave = leave || isOption(gatewayOptions, p.Option) && (p.Option != "endpoint" || len(d.gateway.Endpoints) == 0)
	}
	if leave {
		l.out[p.Section] = verdict{p.Error(), closed}
		return true
	}
	place := p.Section + "." + p.Option
	if l.ignored[place] || d.partly[p.Option] {
		return changed
	}
	l.ignored[place] = true
	return true
}

// closeAll leaves out all uplinks that are enabled, for a restriction that stands in no uplink's section.
func (l *loader) closeAll(p Problem) (changed bool) {
	for _, d := range l.drafts {
		if _, known := l.out[d.shown]; d.typ == typeUplink && !known && !d.idle() {
			l.out[d.shown], changed = verdict{p.Error(), true}, true
		}
	}
	return changed
}

// doubtKeys notes the uplinks whose private key may be there under another name, or in another place.
func (l *loader) doubtKeys(d *draft, p Problem) (changed bool) {
	if d.typ == typeUplink {
		if !l.meansKey(d, p.Option) || l.doubt[d.shown] != "" {
			return false
		}
		l.doubt[d.shown] = p.Error()
		return true
	}
	// In another section: a value that is to be an uplink's.
	if p.Option == "" || isOption(table(d.typ), p.Option) || !near(p.Option, "private_key", 3) ||
		near(p.Option, "public_key", 3) {
		return false
	}
	for _, u := range l.drafts {
		if u.typ == typeUplink && l.doubt[u.shown] == "" {
			l.doubt[u.shown], changed = p.Error(), true
		}
	}
	return changed
}

// meansKey tells whether a wrong option of an uplink can be where its private key is, or is to come from.
func (l *loader) meansKey(d *draft, name string) bool {
	if isOption(uplinkOptions, name) {
		return name == "private_key" || name == "key_file" || name == "key_import"
	}
	if l.meansOther(d, name) {
		return false
	}
	low := strings.ToLower(name)
	for _, word := range []string{"key", "priv", "secret"} {
		if strings.Contains(low, word) {
			return true
		}
	}
	return near(name, "private_key", 3) || near(name, "key_file", 2) || near(name, "key_import", 2) ||
		slices.ContainsFunc(l.values(d, name), looksLikeKey)
}

// meansOther tells whether a wrong name is near that of an option that has nothing to do with keys, and has a value for
// it.
func (l *loader) meansOther(d *draft, name string) bool {
	return slices.ContainsFunc(uplinkOptions, func(o option) bool {
		if o.name == "private_key" || o.name == "key_file" || o.name == "key_import" || !near(name, o.name, 2) {
			return false
		}
		return !slices.ContainsFunc(l.values(d, name), func(v string) bool { return !o.set(&draft{}, v) })
	})
}

// looksLikeKey tells whether a value is 32 bytes as WireGuard or fastd write them.
func looksLikeKey(v string) bool {
	return parseDigest(strings.TrimSpace(v), new([32]byte)) || isHex(strings.TrimSpace(v), 64)
}

// meansKeyFile tells whether a wrong option is key_file, or near it: the private key is in a file that is not known.
func meansKeyFile(name string) bool {
	return name == "key_file" || !isOption(uplinkOptions, name) && near(name, "key_file", 2)
}

// meansSeedKey tells whether a wrong option decides, or is to decide, which VXLAN it is: by its default it would be
// another one.
func (l *loader) meansSeedKey(d *draft, name string) bool {
	const option = "vxlan_seed_key"
	return (name == option || !isOption(uplinkOptions, name) && near(name, option, 2)) &&
		len(l.values(d, "domain_seed")) > 0 && len(l.values(d, "vxlan_id")) == 0
}

// restricting are the options whose default allows more than what the file wants.
var restricting = []string{
	"enabled", "broker_pin", "broker_ca", "config_pubkey", "address_family", "fwmark", "wan_device",
	"allowed_ips", "route_allowed_ips",
}

// unguards tells whether a mistake in an option takes a restriction away.
func (l *loader) unguards(d *draft, name string) bool {
	// Another protocol than the one that is meant has no use for the key of a signed configuration.
	protocol := name == "protocol" || !isOption(uplinkOptions, name) && near(name, "protocol", 2)
	return restricts(name) || protocol && d.typ == typeUplink && len(l.values(d, "config_pubkey")) > 0
}

// restricts tells whether an option restricts, or may be meant to: its name is near that of one.
func restricts(name string) bool {
	if isOption(uplinkOptions, name) || isOption(gatewayOptions, name) || isOption(globalOptions, name) {
		return slices.Contains(restricting, name)
	}
	// Also the word that other packages have for it.
	return near(name, "disabled", 1) || slices.ContainsFunc(restricting,
		func(r string) bool { return near(name, r, max(2, len(r)/4)) })
}

func isOption(options []option, name string) bool {
	return slices.ContainsFunc(options, func(o option) bool { return o.name == name })
}

// near tells whether a name is at most so many slips away from another, small and capital letters alike.
func near(name, other string, most int) bool { return distance(strings.ToLower(name), other) <= most }

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

// cleanFirst gives the uplinks that are run, those without a mistake first: the default that takes the place of a wrong
// name takes it from no other uplink.
func (l *loader) cleanFirst(uplinks []*draft) []*draft {
	if !l.lenient {
		return uplinks
	}
	mistaken := func(d *draft) bool {
		for place := range l.ignored {
			if strings.HasPrefix(place, d.shown+".") {
				return true
			}
		}
		return false
	}
	var run []*draft
	for _, mistakes := range []bool{false, true} {
		for _, d := range uplinks {
			if _, out := l.out[d.shown]; !out && !d.idle() && mistaken(d) == mistakes {
				run = append(run, d)
			}
		}
	}
	return run
}
