package netlab

import (
	"testing"
	"time"
)

func TestParseStats(t *testing.T) {
	status := "Name:\ta) b\nVmRSS:\t    8 kB\nRssAnon:\t  4 kB\nRssFile:\t 3 kB\nThreads:\t7\n"
	stat := "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 7 0 100 200 300"
	got, err := parseStats([]byte(status), []byte(stat))
	want := Stats{RSS: 8 << 10, RSSAnon: 4 << 10, RSSFile: 3 << 10, Threads: 7, User: 1500 * time.Millisecond,
		System: 250 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, in := range map[string][2]string{
		"zombie":    {"Name:\tx\nThreads:\t1\n", stat},
		"short":     {status, "12 (a) S 1"},
		"no number": {status, "12 (a) S 1 2 3 4 5 6 7 8 9 10 x y 0"},
		"empty":     {"", ""},
	} {
		if got, err := parseStats([]byte(in[0]), []byte(in[1])); err == nil {
			t.Errorf("%s: %+v without an error", name, got)
		}
	}
}

func TestOutsideMain(t *testing.T) {
	defer func(old bool) { inside = old }(inside)
	inside = false
	if _, err := New().Host("a"); err == nil {
		t.Error("a host outside Main: no error")
	}
}
