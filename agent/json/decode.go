package json

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// Unmarshaler is a value that reads itself. It must copy what it keeps.
type Unmarshaler interface{ UnmarshalJSON(b []byte) error }

// Unmarshal reads b into what v points to. What an object has that a struct has not is left out. After an error some of
// it may have been read.
func Unmarshal(b []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errors.New("JSON can be read into a pointer only")
	}
	if err := check(b); err != nil {
		return err
	}
	i := space(b, 0)
	end, _ := skip(b, i, 0)
	return decode(b[i:end], p.Elem())
}

// decode reads one valid value.
func decode(b []byte, v reflect.Value) error {
	null := b[0] == 'n'
	if v.Kind() == reflect.Pointer {
		if null {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decode(b, v.Elem())
	}
	switch u := v.Addr().Interface().(type) {
	case Unmarshaler:
		return u.UnmarshalJSON(b)
	case encoding.TextUnmarshaler:
		if null {
			return nil
		}
		if s, ok := Text(b); ok {
			return u.UnmarshalText([]byte(s))
		}
		return unfit(b, v)
	}
	switch v.Kind() {
	case reflect.Interface:
		if v.NumMethod() > 0 {
			return unfit(b, v)
		}
		x, err := untyped(b)
		if err == nil && x == nil {
			v.SetZero()
		} else if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case reflect.Map, reflect.Slice:
		if null {
			v.SetZero()
			return nil
		}
	}
	if null {
		return nil
	}
	switch b[0] {
	case '{':
		return decodeObject(b, v)
	case '[':
		return decodeArray(b, v)
	}
	return decodeSimple(b, v)
}

// unfit says that a value cannot be read into v.
func unfit(b []byte, v reflect.Value) error {
	return fmt.Errorf("JSON that begins with %.20q is no %v", b, v.Type())
}

func decodeObject(b []byte, v reflect.Value) error {
	t := v.Type()
	switch v.Kind() {
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return unfit(b, v)
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(t))
		}
		return members(b, func(name string, value RawMessage) error {
			e := reflect.New(t.Elem()).Elem()
			if err := decode(value, e); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			v.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), e)
			return nil
		})
	case reflect.Struct:
		return members(b, func(name string, value RawMessage) error {
			for i := range t.NumField() {
				f, err := fieldOf(t.Field(i))
				if err == nil && name != "" && f.name == name {
					err = decode(value, v.Field(i))
				}
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	return unfit(b, v)
}

func decodeArray(b []byte, v reflect.Value) error {
	if v.Kind() != reflect.Slice || v.Type().Elem().Kind() == reflect.Uint8 {
		return unfit(b, v)
	}
	all := reflect.MakeSlice(v.Type(), 0, 0)
	err := members(b, func(_ string, value RawMessage) error {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := decode(value, e); err != nil {
			return err
		}
		all = reflect.Append(all, e)
		return nil
	})
	if err == nil {
		v.Set(all)
	}
	return err
}

// decodeSimple reads a string, a number, or a word.
func decodeSimple(b []byte, v reflect.Value) error {
	c := b[0]
	switch kind := v.Kind(); {
	case kind == reflect.String && c == '"':
		v.SetString(unquote(b))
		return nil
	case kind == reflect.Bool && (c == 't' || c == 'f'):
		v.SetBool(c == 't')
		return nil
	case c == '"' || c == 't' || c == 'f':
	case kind >= reflect.Int && kind <= reflect.Int64:
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		if n, err := strconv.ParseUint(string(b), 10, 64); err == nil && !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
	case kind == reflect.Float64:
		if f, err := number(b); err == nil {
			v.SetFloat(f)
			return nil
		}
	}
	return unfit(b, v)
}

// untyped reads a value into the types that encoding/json takes for it.
func untyped(b []byte) (any, error) {
	switch b[0] {
	case '{':
		m := map[string]any{}
		return m, members(b, func(name string, value RawMessage) (err error) {
			m[name], err = untyped(value)
			return err
		})
	case '[':
		l := []any{}
		err := members(b, func(_ string, value RawMessage) error {
			x, err := untyped(value)
			l = append(l, x)
			return err
		})
		return l, err
	case '"':
		return unquote(b), nil
	case 't', 'f':
		return b[0] == 't', nil
	case 'n':
		return nil, nil
	}
	f, err := number(b)
	if err != nil {
		return nil, fmt.Errorf("the number %.20s is too large", b)
	}
	return f, nil
}
