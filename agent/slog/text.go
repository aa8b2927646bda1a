package slog

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// HandlerOptions are for a text handler.
type HandlerOptions struct {
	Level   Leveler // the least important lines to write; nil means LevelInfo
	NoLevel bool    // leave the level out of the lines
}

// NewTextHandler makes a handler that writes each record to w as one line, in one call. o may be nil.
func NewTextHandler(w io.Writer, o *HandlerOptions) Handler {
	t := text{w: w, mu: new(sync.Mutex)}
	if o != nil {
		t.HandlerOptions = *o
	}
	if t.Level == nil {
		t.Level = LevelInfo
	}
	return t
}

type text struct {
	HandlerOptions
	w      io.Writer
	mu     *sync.Mutex
	before []byte // the attributes of all lines
	group  string // what stands before the keys of those that follow
}

func (t text) Enabled(_ context.Context, l Level) bool { return l >= t.Level.Level() }

func (t text) WithAttrs(all []Attr) Handler {
	t.before = appendAttrs(t.before[:len(t.before):len(t.before)], t.group, all)
	return t
}

func (t text) WithGroup(name string) Handler {
	t.group += name + "."
	return t
}

func (t text) Handle(_ context.Context, r Record) error {
	var b []byte
	if !t.NoLevel {
		b = append(append(b, "level="...), r.Level.String()...)
		b = append(b, ' ')
	}
	b = appendText(append(b, "msg="...), r.Message)
	b = appendAttrs(append(b, t.before...), t.group, r.Attrs)
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.w.Write(append(b, '\n'))
	return err
}

// appendAttrs appends attributes, each with a space before it.
func appendAttrs(b []byte, group string, all []Attr) []byte {
	for _, a := range all {
		v := a.Value.resolve()
		switch {
		case v.group != nil && a.Key == "":
			b = appendAttrs(b, group, v.group)
		case v.group != nil:
			b = appendAttrs(b, group+a.Key+".", v.group)
		case a.Key == "" && v.any == nil: // the empty Attr
		default:
			b = appendText(append(b, ' '), group+a.Key)
			b = appendText(append(b, '='), v.String())
		}
	}
	return b
}

// resolve is what the log is to have of a value.
func (v Value) resolve() (out Value) {
	defer func() {
		if r := recover(); r != nil {
			out = StringValue(failed(v.any, r))
		}
	}()
	const most = 100 // values of values
	for range most {
		l, ok := v.any.(LogValuer)
		if !ok {
			return v
		}
		v = l.LogValue()
	}
	return StringValue("a value without end")
}

// failed is for a value whose own method panics, as those of nil pointers may.
func failed(v, r any) string {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
		return "<nil>"
	}
	return fmt.Sprintf("!PANIC: %v", r)
}

// String is the value as a line has it, before it is quoted.
func (v Value) String() (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = failed(v.any, r)
		}
	}()
	switch x := v.any.(type) {
	case string:
		return x
	case time.Duration:
		return x.String()
	case time.Time:
		return x.Format("2006-01-02T15:04:05.000Z07:00")
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			return "!ERROR:" + err.Error()
		}
		return string(b)
	}
	return fmt.Sprintf("%+v", v.any)
}

// appendText appends a text, in quotes where it would not be one word otherwise.
func appendText(b []byte, s string) []byte {
	if word(s) {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

func word(s string) bool {
	for _, r := range s {
		switch {
		case r == ' ' || r == '=' || r == '"' || r < ' ':
			return false
		case r == utf8.RuneError, r >= utf8.RuneSelf && !strconv.IsPrint(r):
			return false
		}
	}
	return s != ""
}
