package ubus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// MarshalJSON writes an object with the fields in their order.
func (t Table) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range t {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), v...)
	}
	return append(b, '}'), nil
}

// MarshalJSON writes an array, also when a is nil.
func (a Array) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]any(a))
}

// TableFromJSON turns an object into a table, in its order. Numbers become int32 if they fit, else int64, else float64, as
// the tool ubus does it.
func TableFromJSON(b []byte) (Table, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := fromJSON(d, 0)
	if err != nil {
		return nil, fmt.Errorf("turn JSON into a table: %w", err)
	}
	t, ok := v.(Table)
	if _, err := d.Token(); !ok || err != io.EOF {
		return nil, errors.New("turn JSON into a table: it is not one object")
	}
	return t, nil
}

func fromJSON(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		return number(string(token))
	case json.Delim:
		if token == '[' {
			return arrayFromJSON(d, depth)
		}
		return tableFromJSON(d, depth)
	}
	return token, nil // string, bool or nil
}

func tableFromJSON(d *json.Decoder, depth int) (any, error) {
	t := Table{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := fromJSON(d, depth+1)
		if err != nil {
			return nil, err
		}
		t = append(t, Field{name.(string), v})
	}
	_, err := d.Token()
	return t, err
}

func arrayFromJSON(d *json.Decoder, depth int) (any, error) {
	a := Array{}
	for d.More() {
		v, err := fromJSON(d, depth+1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
	_, err := d.Token()
	return a, err
}

func number(s string) (any, error) {
	i, err := strconv.ParseInt(s, 10, 64)
	if err == nil && i >= math.MinInt32 && i <= math.MaxInt32 {
		return int32(i), nil
	}
	if err == nil {
		return i, nil
	}
	return strconv.ParseFloat(s, 64)
}
