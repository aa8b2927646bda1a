package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A List is the list of known vulnerabilities: of Go's standard library (module "stdlib") and of the modules that are
// linked.
type List struct {
	Looked  string  `json:"looked"`  // day of the last look at the source
	Source  string  `json:"source"`  // where was looked
	Entries []Entry `json:"entries"` // by id and module
}

// An Entry is one vulnerability of one module.
type Entry struct {
	ID       string   `json:"id"`
	Alias    string   `json:"alias,omitempty"`
	Module   string   `json:"module"`
	Packages []string `json:"packages"` // where the vulnerable code is
	// from the first version, up to but without the fixed one; "" stands for none
	Ranges   [][2]string `json:"ranges"`
	Affected bool        `json:"affected"` // whether linked code can be reached
	Why      string      `json:"why"`      // why linked code is not affected, or what happens
	Accepted *Accepted   `json:"accepted,omitempty"`
}

// Accepted says why a release may have a vulnerability, and until when.
type Accepted struct {
	Reason string `json:"reason"`
	Test   string `json:"test"`  // file:function of the test that contains it, in this repository
	Until  string `json:"until"` // the last day
}

const day = "2006-01-02"

// stale is how old the last look may be.
const stale = 180 * 24 * time.Hour

// ReadList reads the list and checks it as far as that goes without programs; root is the checkout, in which the tests
// are.
func ReadList(path, root string, today time.Time) (List, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return List{}, err
	}
	var l List
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return List{}, fmt.Errorf("%s: %w", path, err)
	}
	looked, err := time.Parse(day, l.Looked)
	switch {
	case err != nil:
		return List{}, fmt.Errorf("%s: looked: %w", path, err)
	case today.Sub(looked) > stale:
		return List{},
			fmt.Errorf("%s: the last look was on %s, more than %d days ago: look at %s again, and set the date", path,
				l.Looked, int(stale.Hours())/24, l.Source)
	}
	for _, e := range l.Entries {
		if err := e.check(root); err != nil {
			return List{}, fmt.Errorf("%s: %s, %s: %w", path, e.ID, e.Module, err)
		}
	}
	return l, nil
}

var testName = regexp.MustCompile(`^([\w./-]+_test\.go):(Test\w+)$`)

func (e Entry) check(root string) error {
	switch {
	case e.ID == "" || e.Module == "" || len(e.Packages) == 0 || len(e.Ranges) == 0:
		return fmt.Errorf("id, module, packages and ranges are needed")
	case e.Why == "":
		return fmt.Errorf("why is needed: why is linked code not affected, or what happens?")
	}
	for _, r := range e.Ranges {
		for _, v := range r {
			if _, err := parse(v); err != nil {
				return err
			}
		}
	}
	a := e.Accepted
	if a == nil {
		return nil
	}
	if a.Reason == "" || a.Test == "" || a.Until == "" {
		return fmt.Errorf("what is accepted needs a reason, the test that contains it, and an end date")
	}
	if _, err := time.Parse(day, a.Until); err != nil {
		return fmt.Errorf("until: %w", err)
	}
	parts := testName.FindStringSubmatch(a.Test)
	if parts == nil {
		return fmt.Errorf("test %q is not of the form file_test.go:TestName", a.Test)
	}
	source, err := os.ReadFile(filepath.Join(root, parts[1]))
	if err != nil {
		return fmt.Errorf("test: %w", err)
	}
	if !bytes.Contains(source, []byte("func "+parts[2]+"(")) {
		return fmt.Errorf("there is no %s in %s", parts[2], parts[1])
	}
	return nil
}

// Check returns one line for each vulnerability of a program that is neither accepted nor without effect, and one for
// each that is, for the log.
func (l List) Check(p Program, today time.Time) (bad, good []string) {
	modules := append([]Module{{"stdlib", p.Go}}, p.Modules...)
	for _, e := range l.Entries {
		for _, m := range modules {
			if m.Path != e.Module {
				continue
			}
			in, fixed, err := e.concerns(m.Version)
			line := fmt.Sprintf("%s: %s %s has %s %s", p.Name(), m.Path, m.Version, e.ID, e.Alias)
			switch a := e.Accepted; {
			case err != nil:
				bad = append(bad, fmt.Sprintf("%s: %v", line, err))
			case !in:
			case !e.Affected:
				good = append(good, line+": not affected: "+e.Why)
			case a == nil:
				bad = append(bad, fmt.Sprintf("%s: %s; fixed in %s: take that, or accept it in the list", line,
					e.Why, fixed))
			case today.Format(day) > a.Until:
				bad = append(bad, fmt.Sprintf("%s: accepted until %s only; fixed in %s: take that, or look at it again",
					line, a.Until, fixed))
			default:
				good = append(good, fmt.Sprintf("%s: accepted until %s: %s (%s)", line, a.Until, a.Reason, a.Test))
			}
		}
	}
	return bad, good
}

// concerns says whether a version is in one of the entry's ranges, and which version is the way out.
func (e Entry) concerns(version string) (in bool, fixed string, err error) {
	v, err := parse(version)
	if err != nil {
		return false, "", err
	}
	for _, r := range e.Ranges {
		from, _ := parse(r[0])
		to, _ := parse(r[1])
		if slices.Compare(v, from) >= 0 && (r[1] == "" || slices.Compare(v, to) < 0) {
			if r[1] == "" {
				return true, "no version", nil
			}
			return true, r[1], nil
		}
	}
	return false, "", nil
}

// parse takes a version to pieces: three numbers, and one that is less for a pre-release such as 1.26.0-rc.1 or
// 1.26rc1.
func parse(version string) ([]int, error) {
	if version == "" {
		return []int{0, 0, 0, 0}, nil
	}
	core, suffix := version, false
	if i := strings.IndexAny(version, "-+"); i >= 0 {
		core, suffix = version[:i], version[i] == '-'
	}
	for _, pre := range []string{"rc", "beta"} {
		if before, _, found := strings.Cut(core, pre); found {
			core, suffix = before, true
		}
	}
	out := []int{0, 0, 0, 1}
	for i, n := range strings.Split(core, ".") {
		var err error
		if i > 2 {
			return nil, fmt.Errorf("version %q is none", version)
		}
		if out[i], err = strconv.Atoi(n); err != nil {
			return nil, fmt.Errorf("version %q is none", version)
		}
	}
	if suffix {
		out[3] = 0
	}
	return out, nil
}
