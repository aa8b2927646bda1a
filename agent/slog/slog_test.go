package slog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	library "log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"wguplink/agent/slog"
)

// pair writes each line by both packages.
type pair struct {
	*testing.T
	ours    *slog.Logger
	library *library.Logger
	a, b    bytes.Buffer
}

// newPair takes the time out of the library's lines.
func newPair(t *testing.T) *pair {
	p := &pair{T: t}
	p.ours = slog.New(slog.NewTextHandler(&p.a, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.library = library.New(library.NewTextHandler(&p.b, &library.HandlerOptions{Level: library.LevelDebug,
		ReplaceAttr: func(groups []string, a library.Attr) library.Attr {
			if len(groups) == 0 && a.Key == library.TimeKey {
				return library.Attr{}
			}
			return a
		}}))
	return p
}

func (p *pair) same() {
	p.Helper()
	if p.a.String() != p.b.String() {
		p.Errorf("%q, the library writes %q", p.a.String(), p.b.String())
	}
	if !strings.HasSuffix(p.a.String(), "\n") {
		p.Errorf("no line: %q", p.a.String())
	}
	p.a.Reset()
	p.b.Reset()
}

type state string

type pointer struct{ n int }

func (p *pointer) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(p.n)), nil }

type broken struct{}

func (broken) MarshalText() ([]byte, error) { return nil, errors.New("no text") }

type panics struct{}

func (panics) MarshalText() ([]byte, error) { panic("at the text") }

func values() []any {
	return []any{
		"", "word", "two words", `"quoted"`, "a=b", `back\slash`, "line\nline", "\x00\x7f", "grün", "\u00a0", "\ufffd",
		"\xff", "\U0001f600", "\u2028",
		0, -5, int8(3), uint64(1) << 63, 1.5, 1e6, 1e21, 1e-7, true, false, nil, 'x', []string{"a", "b c"}, []int(nil),
		time.Minute, time.Duration(0), time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.FixedZone("", 3600)), time.Date(2026,
			2, 3, 4, 5, 6, 0, time.UTC),
		errors.New("an error"), fmt.Errorf("wrapped: %w", context.Canceled), error(nil), state("up"),
		netip.MustParseAddr("fe80::1%eth0"), netip.Addr{},
		netip.MustParseAddrPort("[::1]:1"), netip.MustParsePrefix("10.0.0.0/8"), &pointer{7}, (*pointer)(nil), broken{},
		panics{}, struct{ A, B int }{1, 2},
		map[string]int{"b": 1, "a": 2}, slog.LevelWarn,
	}
}

func TestValues(t *testing.T) {
	p := newPair(t)
	for _, v := range values() {
		p.ours.Info("msg", "key", v)
		p.library.Info("msg", "key", v)
		p.same()
		p.ours.With("key", v, "more", 1).WithGroup("g").With("in", v).Warn("m", "k", v)
		p.library.With("key", v, "more", 1).WithGroup("g").With("in", v).Warn("m", "k", v)
		p.same()
		if s, ok := v.(string); ok {
			p.ours.Error(s, s, s)
			p.library.Error(s, s, s)
			p.same()
		}
	}
}

func TestArguments(t *testing.T) {
	p := newPair(t)
	for _, args := range [][]any{{}, {"key"}, {"key", 1, "last"}, {1}, {1, "key", 2}, {nil}} {
		p.ours.Debug("msg", args...)
		p.library.Debug("msg", args...)
		p.same()
		p.ours.With(args...).Debug("msg")
		p.library.With(args...).Debug("msg")
		p.same()
	}
	p.ours.Info("m", slog.Any("a", 1), "b", slog.GroupValue(slog.String("c", "d e"), slog.Any("f",
		slog.GroupValue(slog.String("g", "h")))), slog.Attr{})
	p.library.Info("m", library.Any("a", 1), "b", library.GroupValue(library.String("c", "d e"), library.Any("f",
		library.GroupValue(library.String("g", "h")))), library.Attr{})
	p.same()
	p.ours.Info("m", "empty", slog.GroupValue(), slog.Any("", slog.GroupValue(slog.String("in", "line"))),
		slog.Any("list", []slog.Attr{slog.String("x", "y")}))
	p.library.Info("m", "empty", library.GroupValue(), library.Any("", library.GroupValue(library.String("in",
		"line"))), library.Any("list", []library.Attr{library.String("x", "y")}))
	p.same()
}

type ours struct{ v any }

func (o ours) LogValue() slog.Value { return slog.AnyValue(o.v) }

type theirs struct{ v any }

func (o theirs) LogValue() library.Value { return library.AnyValue(o.v) }

type nilValue struct{ n int }

func (n *nilValue) LogValue() slog.Value { return slog.Any("", n.n).Value }

type endless struct{}

func (endless) LogValue() slog.Value { return slog.AnyValue(endless{}) }

func TestLogValuer(t *testing.T) {
	p := newPair(t)
	for _, v := range values() {
		p.ours.Info("msg", "key", ours{ours{v}})
		p.library.Info("msg", "key", theirs{theirs{v}})
		p.same()
	}
	p.ours.Info("msg", "key", ours{slog.GroupValue(slog.String("a", "b"))}, "k", ours{slog.StringValue("s")})
	p.library.Info("msg", "key", theirs{library.GroupValue(library.String("a", "b"))}, "k",
		theirs{library.StringValue("s")})
	p.same()
	// What panics, or never ends, costs the value and no more.
	p.ours.Info("msg", "nil", (*nilValue)(nil), "endless", endless{}, "after", 1)
	if got, want := p.a.String(),
		"level=INFO msg=msg nil=<nil> endless=\"a value without end\" after=1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLevels(t *testing.T) {
	for l := slog.LevelDebug - 3; l <= slog.LevelError+3; l++ {
		if got, want := l.String(), library.Level(l).String(); got != want {
			t.Errorf("level %d is %s, the library says %s", l, got, want)
		}
	}
	var out bytes.Buffer
	var level slog.LevelVar
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: &level, NoLevel: true}))
	log.Debug("1")
	log.Info("2")
	level.Set(slog.LevelDebug)
	log.Debug("3")
	level.Set(slog.LevelError)
	log.Warn("4")
	log.Log(context.Background(), slog.LevelError+1, "5")
	if got, want := out.String(), "msg=2\nmsg=3\nmsg=5\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	slog.New(slog.DiscardHandler).With("a", 1).WithGroup("g").Error("nowhere")
}

// Loggers made of one do not write into each other's attributes.
func TestForks(t *testing.T) {
	var out bytes.Buffer
	base := slog.New(slog.NewTextHandler(&out, nil)).With("a", 1)
	b, c := base.With("b", 2), base.With("c", 3)
	b.Info("b")
	c.Info("c")
	base.Info("base")
	if got, want := out.String(),
		"level=INFO msg=b a=1 b=2\nlevel=INFO msg=c a=1 c=3\nlevel=INFO msg=base a=1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzText(f *testing.F) {
	f.Add("msg", "key", "value")
	f.Add("", " ", "\xff=")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		p := newPair(t)
		p.ours.Info(msg, key, value)
		p.library.Info(msg, key, value)
		p.same()
		if n := strings.Count(p.a.String(), "\n"); n != 0 {
			t.Errorf("%d lines are left", n)
		}
	})
}
