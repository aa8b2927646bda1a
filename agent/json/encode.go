package json

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Marshaler is a value that writes itself.
type Marshaler interface{ MarshalJSON() ([]byte, error) }

// Marshal writes a value, in such a way that it can stand in HTML.
func Marshal(v any) ([]byte, error) { return encoder{html: true}.value(nil, reflect.ValueOf(v)) }

// Indented writes a value for people: with two spaces for each level.
func Indented(v any) ([]byte, error) {
	b, err := encoder{}.value(nil, reflect.ValueOf(v))
	if err != nil {
		return nil, err
	}
	return indent(nil, b, "\n"), nil
}

// Compact appends a value without its space. The error is ErrSyntax.
func Compact(to, b []byte) ([]byte, error) {
	if err := check(b); err != nil {
		return to, err
	}
	return encoder{}.compact(to, b), nil
}

type encoder struct{ html bool }

func (e encoder) value(to []byte, v reflect.Value) ([]byte, error) {
	if !v.IsValid() {
		return append(to, "null"...), nil
	}
	kind := v.Kind()
	if (kind == reflect.Pointer || kind == reflect.Interface) && v.IsNil() {
		return append(to, "null"...), nil
	}
	if kind != reflect.Interface {
		switch m := v.Interface().(type) {
		case Marshaler:
			b, err := m.MarshalJSON()
			if err == nil {
				err = check(b)
			}
			if err != nil {
				return nil, fmt.Errorf("%v as JSON: %w", v.Type(), err)
			}
			return e.compact(to, b), nil
		case encoding.TextMarshaler:
			b, err := m.MarshalText()
			if err != nil {
				return nil, fmt.Errorf("%v as JSON: %w", v.Type(), err)
			}
			return e.text(to, string(b)), nil
		}
	}
	switch kind {
	case reflect.Bool:
		return strconv.AppendBool(to, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(to, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(to, v.Uint(), 10), nil
	case reflect.Float64:
		return float(to, v.Float())
	case reflect.String:
		return e.text(to, v.String()), nil
	case reflect.Interface, reflect.Pointer:
		return e.value(to, v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		if v.IsNil() {
			return append(to, "null"...), nil
		}
		return e.array(to, v)
	case reflect.Array:
		return e.array(to, v)
	case reflect.Map:
		return e.table(to, v)
	case reflect.Struct:
		return e.structure(to, v)
	}
	return nil, fmt.Errorf("%v has no JSON", v.Type())
}

func (e encoder) array(to []byte, v reflect.Value) (_ []byte, err error) {
	to = append(to, '[')
	for i := range v.Len() {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = e.value(to, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(to, ']'), nil
}

// table writes a map in the order of its keys.
func (e encoder) table(to []byte, v reflect.Value) (_ []byte, err error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("%v has no JSON", v.Type())
	}
	if v.IsNil() {
		return append(to, "null"...), nil
	}
	keys := map[string]reflect.Value{}
	var names []string
	for _, k := range v.MapKeys() {
		keys[k.String()] = k
		names = append(names, k.String())
	}
	slices.Sort(names)
	to = append(to, '{')
	for i, name := range names {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(e.text(to, name), ':')
		if to, err = e.value(to, v.MapIndex(keys[name])); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

func (e encoder) structure(to []byte, v reflect.Value) (_ []byte, err error) {
	to = append(to, '{')
	first := true
	for i := range v.NumField() {
		f, err := fieldOf(v.Type().Field(i))
		if err != nil {
			return nil, err
		}
		if f.name == "" || f.omit && empty(v.Field(i)) {
			continue
		}
		if !first {
			to = append(to, ',')
		}
		first = false
		to = append(e.text(to, f.name), ':')
		if to, err = e.value(to, v.Field(i)); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

// field is what the tag of a struct's field says.
type field struct {
	name string // "" for one that has no part in it
	omit bool   // when it is empty
}

func fieldOf(f reflect.StructField) (field, error) {
	if f.Anonymous {
		return field{}, fmt.Errorf("embedded %v has no JSON", f.Type)
	}
	tag := f.Tag.Get("json")
	if !f.IsExported() || tag == "-" {
		return field{}, nil
	}
	name, option, _ := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	if option != "" && option != "omitempty" {
		return field{}, fmt.Errorf("field %s has a tag with %s", f.Name, option)
	}
	return field{name, option != ""}, nil
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func float(to []byte, f float64) ([]byte, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fmt.Errorf("%v has no JSON", f)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	to = strconv.AppendFloat(to, f, format, -1, 64)
	if n := len(to); format == 'e' && n >= 4 && to[n-4] == 'e' && to[n-3] == '-' && to[n-2] == '0' { // e-09 is e-9
		to[n-2] = to[n-1]
		to = to[:n-1]
	}
	return to, nil
}

// text writes a string.
func (e encoder) text(to []byte, s string) []byte {
	to = append(to, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				to = append(to, `\ufffd`...)
			case r == '\u2028' || r == '\u2029': // the ends of a line in JavaScript
				to = escape(to, r)
			default:
				to = append(to, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c == '\b':
			to = append(to, '\\', 'b')
		case c == '\f':
			to = append(to, '\\', 'f')
		case c == '\n':
			to = append(to, '\\', 'n')
		case c == '\r':
			to = append(to, '\\', 'r')
		case c == '\t':
			to = append(to, '\\', 't')
		case c < ' ' || e.html && (c == '<' || c == '>' || c == '&'):
			to = escape(to, rune(c))
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}

// escape writes a character by its number.
func escape(to []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(to, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// compact leaves out the space of a valid text.
func (e encoder) compact(to, b []byte) []byte {
	for i := 0; i < len(b); {
		if i = space(b, i); i == len(b) {
			break
		}
		end := i + 1
		if b[i] == '"' {
			end, _ = skipString(b, i)
		}
		part := b[i:end]
		i = end
		if !e.html {
			to = append(to, part...)
			continue
		}
		for j := 0; j < len(part); j++ {
			switch c := part[j]; {
			case c == '<' || c == '>' || c == '&':
				to = escape(to, rune(c))
			case c == 0xe2 && j+2 < len(part) && part[j+1] == 0x80 && part[j+2]&^1 == 0xa8:
				to = escape(to, 0x2000|rune(part[j+2]&0x3f))
				j += 2
			default:
				to = append(to, c)
			}
		}
	}
	return to
}

// indent writes a valid text without space; line is what begins a line.
func indent(to, b []byte, line string) []byte {
	for i := 0; i < len(b); {
		end := i + 1
		switch c := b[i]; c {
		case '"':
			end, _ = skipString(b, i)
			to = append(to, b[i:end]...)
		case '{', '[':
			to = append(to, c)
			if b[end] == c+2 {
				to = append(to, b[end])
				end++
				break
			}
			line += "  "
			to = append(to, line...)
		case '}', ']':
			line = line[:len(line)-2]
			to = append(append(to, line...), c)
		case ',':
			to = append(append(to, c), line...)
		case ':':
			to = append(to, c, ' ')
		default:
			to = append(to, c)
		}
		i = end
	}
	return to
}
