// Package slog writes the log: lines of key=value, with the names and rules of log/slog. That package brings its other
// form, JSON, along, which takes much of a router's flash (docs/decisions.md). The tests hold the two against each
// other.
//
// Lines have no time: the system log puts its own in front, and ours may not be right yet.
package slog

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
)

// Level is how important a line is: the higher, the more.
type Level int

// The levels, in log/slog's numbers.
const (
	LevelDebug Level = -4
	LevelInfo  Level = 0
	LevelWarn  Level = 4
	LevelError Level = 8
)

// String is the name of a level, with a number behind it for one between two.
func (l Level) String() string {
	name, base := "DEBUG", LevelDebug
	switch {
	case l >= LevelError:
		name, base = "ERROR", LevelError
	case l >= LevelWarn:
		name, base = "WARN", LevelWarn
	case l >= LevelInfo:
		name, base = "INFO", LevelInfo
	}
	if l == base {
		return name
	}
	return fmt.Sprintf("%s%+d", name, int(l-base))
}

// Level is the level itself.
func (l Level) Level() Level { return l }

// Leveler is a level that may change.
type Leveler interface{ Level() Level }

// LevelVar is a level that may be set at any time.
type LevelVar struct{ v atomic.Int32 }

// Level gives it.
func (v *LevelVar) Level() Level { return Level(v.v.Load()) }

// Set sets it.
func (v *LevelVar) Set(l Level) { v.v.Store(int32(l)) }

// Attr is a key with its value.
type Attr struct {
	Key   string
	Value Value
}

// Value is any value, or several attributes.
type Value struct {
	any   any
	group []Attr
}

// LogValuer is what has another value for the log.
type LogValuer interface{ LogValue() Value }

// Any is what the log has of a value, before it is text; []Attr for several attributes.
func (v Value) Any() any {
	v = v.resolve()
	if v.group != nil {
		return v.group
	}
	return v.any
}

// AnyValue makes a value.
func AnyValue(v any) Value {
	switch v := v.(type) {
	case Value:
		return v
	case []Attr:
		return GroupValue(v...)
	}
	return Value{any: v}
}

// StringValue makes a value.
func StringValue(s string) Value { return Value{any: s} }

// GroupValue makes one value of several attributes.
func GroupValue(all ...Attr) Value { return Value{group: append([]Attr{}, all...)} }

// Any makes an attribute.
func Any(key string, v any) Attr { return Attr{key, AnyValue(v)} }

// String makes an attribute.
func String(key, s string) Attr { return Attr{key, StringValue(s)} }

// Record is what a line says.
type Record struct {
	Level   Level
	Message string
	Attrs   []Attr
}

// Handler takes records. It may be called by several goroutines.
type Handler interface {
	Enabled(context.Context, Level) bool
	Handle(context.Context, Record) error
	WithAttrs([]Attr) Handler
	WithGroup(name string) Handler
}

// DiscardHandler takes none.
var DiscardHandler Handler = discard{}

type discard struct{}

func (discard) Enabled(context.Context, Level) bool  { return false }
func (discard) Handle(context.Context, Record) error { return nil }
func (d discard) WithAttrs([]Attr) Handler           { return d }
func (d discard) WithGroup(string) Handler           { return d }

// Logger hands what it is told to a Handler.
type Logger struct{ h Handler }

// New makes a Logger.
func New(h Handler) *Logger { return &Logger{h} }

// Default writes to standard error what is no debugging.
func Default() *Logger { return New(NewTextHandler(os.Stderr, nil)) }

// Handler gives the Logger's.
func (l *Logger) Handler() Handler { return l.h }

// With gives a Logger that adds attributes to each line: keys and their values in turn, or Attrs.
func (l *Logger) With(args ...any) *Logger {
	if len(args) == 0 {
		return l
	}
	return New(l.h.WithAttrs(attrs(args)))
}

// WithGroup gives a Logger that puts name and a dot before the keys of all attributes that follow.
func (l *Logger) WithGroup(name string) *Logger {
	if name == "" {
		return l
	}
	return New(l.h.WithGroup(name))
}

// Debug, Info, Warn and Error write a line of that level, with attributes as With takes them.
func (l *Logger) Debug(msg string, args ...any) {
	l.Log(context.Background(), LevelDebug, msg, args...)
}

// Info is like Debug.
func (l *Logger) Info(msg string, args ...any) { l.Log(context.Background(), LevelInfo, msg, args...) }

// Warn is like Debug.
func (l *Logger) Warn(msg string, args ...any) { l.Log(context.Background(), LevelWarn, msg, args...) }

// Error is like Debug.
func (l *Logger) Error(msg string, args ...any) {
	l.Log(context.Background(), LevelError, msg, args...)
}

// Log is like Debug, with any level.
func (l *Logger) Log(ctx context.Context, level Level, msg string, args ...any) {
	if l.h.Enabled(ctx, level) {
		l.h.Handle(ctx, Record{level, msg, attrs(args)})
	}
}

// attrs makes attributes of what With takes. A value without a key gets one that stands out.
func attrs(args []any) (all []Attr) {
	const bad = "!BADKEY"
	for len(args) > 0 {
		switch x := args[0].(type) {
		case Attr:
			all = append(all, x)
		case string:
			if len(args) > 1 {
				all = append(all, Any(x, args[1]))
				args = args[1:]
			} else {
				all = append(all, String(bad, x))
			}
		default:
			all = append(all, Any(bad, x))
		}
		args = args[1:]
	}
	return all
}
