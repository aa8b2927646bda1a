// Package json reads and writes JSON (RFC 8259) for the structs of this program, by the tags and rules of
// encoding/json, which takes much of a router's flash (docs/decisions.md). The tests hold the two against each other.
//
// What differs: names are taken as they are written, the first mistake ends the reading, and []byte, embedded structs,
// tags but omitempty, and keys of maps that are no strings are refused.
package json

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// RawMessage is a value as it is written.
type RawMessage []byte

// MarshalJSON gives the value itself; null for none.
func (m RawMessage) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	return m, nil
}

// UnmarshalJSON keeps a copy.
func (m *RawMessage) UnmarshalJSON(b []byte) error {
	*m = append((*m)[:0:0], b...)
	return nil
}

// maxDepth is how deep arrays and objects may be nested. encoding/json allows 10,000, which takes a router megabytes of
// stack.
const maxDepth = 1000

// ErrSyntax says that a text is no JSON.
var ErrSyntax = errors.New("this is not JSON")

// Valid says that b is one value, with space around it at most.
func Valid(b []byte) bool { return check(b) == nil }

// check is Valid that says where a text goes wrong.
func check(b []byte) error {
	end, ok := skip(b, space(b, 0), 0)
	if ok {
		end = space(b, end)
	}
	switch {
	case ok && end == len(b):
		return nil
	case end >= len(b):
		return fmt.Errorf("%w: it ends too early", ErrSyntax)
	}
	return fmt.Errorf("%w at byte %d, %q", ErrSyntax, end+1, b[end])
}

// space is where the space that begins at i ends.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skip is where the value that begins at i ends, or, when ok is false, where it goes wrong.
func skip(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '{' || c == '[':
		return skipList(b, i, depth+1)
	case c == '"':
		return skipString(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipWord(b []byte, i int, word string) (int, bool) {
	for j := range len(word) {
		if i+j >= len(b) || b[i+j] != word[j] {
			return i + j, false
		}
	}
	return i + len(word), true
}

func skipList(b []byte, i, depth int) (int, bool) {
	if depth > maxDepth {
		return i, false
	}
	object := b[i] == '{'
	last := b[i] + 2 // in ASCII, ] and } stand two after [ and {
	i = space(b, i+1)
	if i < len(b) && b[i] == last {
		return i + 1, true
	}
	for {
		var ok bool
		if object {
			if i >= len(b) || b[i] != '"' {
				return i, false
			}
			if i, ok = skipString(b, i); !ok {
				return i, false
			}
			if i = space(b, i); i >= len(b) || b[i] != ':' {
				return i, false
			}
			i = space(b, i+1)
		}
		if i, ok = skip(b, i, depth); !ok {
			return i, false
		}
		if i = space(b, i); i >= len(b) {
			return i, false
		}
		switch b[i] {
		case last:
			return i + 1, true
		case ',':
			i = space(b, i+1)
		default:
			return i, false
		}
	}
}

func skipString(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, true
		case c < ' ':
			return i, false
		case c == '\\':
			if i++; i >= len(b) {
				return i, false
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(b) || hex(b[i]) < 0 {
						return i, false
					}
				}
			default:
				return i, false
			}
		}
	}
	return i, false
}

func hex(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

func skipNumber(b []byte, i int) (int, bool) {
	digits := func() bool {
		begin := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > begin
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return i, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return i, false
		}
	}
	return i, true
}

// Object calls f for each member of an object, in its order, with its name and its value as it is written. The error is
// f's, or says that b is not one object.
func Object(b []byte, f func(name string, value RawMessage) error) error { return list(b, '{', f) }

// Array calls f for each element of an array.
func Array(b []byte, f func(value RawMessage) error) error {
	return list(b, '[', func(_ string, value RawMessage) error { return f(value) })
}

func list(b []byte, first byte, f func(name string, value RawMessage) error) error {
	if err := check(b); err != nil {
		return err
	}
	i := space(b, 0)
	if b[i] != first {
		return fmt.Errorf("JSON that begins with %q, want %q", b[i], first)
	}
	return members(b[i:], f)
}

// members is Object and Array for a value that is known to be one of them.
func members(b []byte, f func(name string, value RawMessage) error) error {
	object := b[0] == '{'
	for i := space(b, 1); b[i] != '}' && b[i] != ']'; {
		name := ""
		if object {
			end, _ := skipString(b, i)
			name = unquote(b[i:end])
			i = space(b, space(b, end)+1)
		}
		end, _ := skip(b, i, 0)
		if err := f(name, RawMessage(b[i:end:end])); err != nil {
			return err
		}
		if i = space(b, end); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return nil
}

// unquote is what a string says. What is no UTF-8, and half of a pair of surrogates, becomes U+FFFD.
func unquote(b []byte) string {
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			r, n := utf8.DecodeRune(b[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		}
		switch c := b[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := escaped(b[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				both := utf16.DecodeRune(r, escaped(b[i+2:]))
				if both != utf8.RuneError {
					i += 6
				}
				r = both
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		i += 2
	}
	return string(out)
}

// escaped is the number of a \uXXXX at the beginning of b; -1 when there is none.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	return hex(b[2])<<12 | hex(b[3])<<8 | hex(b[4])<<4 | hex(b[5])
}

// Text is what a string says; ok is false for any other value.
func Text(b RawMessage) (s string, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return "", false
	}
	end, ok := skipString(b, 0)
	if !ok || end != len(b) {
		return "", false
	}
	return unquote(b), true
}

// number gives a number as encoding/json does for one of no type.
func number(b []byte) (float64, error) { return strconv.ParseFloat(string(b), 64) }
