package ubus

import (
	"fmt"
	"math"
	"strconv"

	"wguplink/agent/json"
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

// TableFromJSON turns an object into a table, in its order. Numbers become int32 if they fit, else int64, else float64,
// as the tool ubus does it.
func TableFromJSON(b []byte) (Table, error) {
	t, err := tableFromJSON(b, 0)
	if err != nil {
		return nil, fmt.Errorf("turn JSON into a table: %w", err)
	}
	return t, nil
}

func fromJSON(b json.RawMessage, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch b[0] {
	case '{':
		return tableFromJSON(b, depth)
	case '[':
		a := Array{}
		err := json.Array(b, func(value json.RawMessage) error {
			v, err := fromJSON(value, depth+1)
			a = append(a, v)
			return err
		})
		return a, err
	case '"':
		s, _ := json.Text(b)
		return s, nil
	case 't', 'f':
		return b[0] == 't', nil
	case 'n':
		return nil, nil
	}
	return number(string(b))
}

func tableFromJSON(b []byte, depth int) (Table, error) {
	t := Table{}
	err := json.Object(b, func(name string, value json.RawMessage) error {
		v, err := fromJSON(value, depth+1)
		t = append(t, Field{name, v})
		return err
	})
	return t, err
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
