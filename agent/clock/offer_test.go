package clock

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wguplink/agent/clock/clocktest"
)

func TestOffer(t *testing.T) {
	for name, c := range map[string]struct {
		clock, offered time.Time
		source         Source
		stepped        bool
	}{
		"from 1970":              {boot, today, FromSigned, true},
		"within a minute":        {today, today.Add(59 * time.Second), FromSigned, false},
		"a minute and a bit off": {today, today.Add(61 * time.Second), FromSigned, true},
		"backwards":              {today.Add(time.Hour), today, FromSigned, true},
		"before the build":       {today, build.Add(-time.Second), Unverified, false},
		"decades ahead":          {today, today.AddDate(40, 0, 0), Unverified, false},
	} {
		sys := clocktest.At(c.clock)
		path := filepath.Join(t.TempDir(), "last-time")
		res, err := New(Options{System: sys, Build: build, FloorFile: path}).Offer(c.offered, "config.example.org")
		if res.Source != c.source || res.Stepped != c.stepped || (err == nil) != (c.source == FromSigned) ||
			len(sys.Steps()) > 0 != c.stepped {
			t.Errorf("%s: %+v, %v, steps %v", name, res, err, sys.Steps())
		}
		if kept := read(t, path); (kept != "") != (c.source == FromSigned) {
			t.Errorf("%s: kept %q", name, kept)
		}
	}
}

// The last known time is a floor for each that tells the time.
func TestOfferBehindTheFloor(t *testing.T) {
	sys := clocktest.At(boot)
	path := filepath.Join(t.TempDir(), "last-time")
	write(t, path, stamp(today)+"\n")
	res, err := New(Options{System: sys, Build: build, FloorFile: path}).Offer(today.Add(-time.Hour),
		"config.example.org")
	if err == nil || res.Source != Unverified || len(sys.Steps()) != 0 ||
		!strings.Contains(err.Error(), "before the last known time") {
		t.Errorf("%+v, %v, steps %v", res, err, sys.Steps())
	}
}

func TestOfferWithoutTheRight(t *testing.T) {
	sys := clocktest.At(boot)
	sys.RefuseSteps(errors.New("not permitted"))
	if res, err := New(Options{System: sys, Build: build}).Offer(today, "config.example.org"); err == nil ||
		res.Stepped || res.Source != Unverified {
		t.Errorf("%+v, %v", res, err)
	}
}
