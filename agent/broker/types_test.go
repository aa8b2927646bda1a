package broker

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	cause := errors.New("no domain")
	errs := []*Error{
		{Kind: Malformed, Broker: "http://a", RetryAfter: time.Minute, Err: errors.New("x")},
		{Kind: Refused, Broker: "http://b", RetryAfter: time.Second, Err: cause},
		{Kind: Unreachable, Broker: "http://c", RetryAfter: time.Hour, Err: os.ErrDeadlineExceeded},
	}
	e := merge(errs)
	if e.Kind != Refused || e.Broker != "http://b" || e.RetryAfter != time.Second {
		t.Errorf("got %+v", e)
	}
	want := "broker http://b: refused: no domain; broker http://a: malformed answer: x; broker http://c: " +
		"unreachable: i/o timeout"
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	if !errors.Is(e, cause) || !errors.Is(e, os.ErrDeadlineExceeded) {
		t.Error("a cause is lost")
	}
	errs[2].RetryAfter = 0
	if e := merge(errs); e.RetryAfter != 0 {
		t.Errorf("one broker may be asked at once, yet RetryAfter is %v", e.RetryAfter)
	}
}

// TestNoBroker keeps HTTP and TLS behind the build tag.
func TestNoBroker(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	tagged := 0
	for _, d := range files {
		if !strings.HasSuffix(d.Name(), ".go") {
			continue
		}
		src, err := os.ReadFile(d.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(src), "//go:build !nobroker\n") {
			tagged++
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), d.Name(), src, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			switch p := strings.Trim(i.Path.Value, `"`); {
			case strings.HasPrefix(p, "net/http"), strings.HasPrefix(p, "crypto/"), p == "net/url":
				t.Errorf("%s imports %s without the build tag", d.Name(), p)
			}
		}
	}
	if tagged == 0 {
		t.Error("no file has the build tag")
	}
}
