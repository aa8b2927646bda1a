package ubus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

const (
	// maxDepth is how deep tables and arrays may be nested. json-c, by which the tools print them, ends there too.
	maxDepth = 32

	attrHeader = 4 // id and length
	attrLength = 1<<24 - 1
	extended   = 1 << 31 // the attribute has a name: blobmsg
)

// errLength is the answer to a length that does not fit what is around it.
var errLength = errors.New("an attribute's length does not fit")

// AppendTable appends the fields of t in wire format, as they stand in a message's data; len(b) must be a multiple of
// 4.
func AppendTable(b []byte, t Table) ([]byte, error) {
	return appendTable(b, t, 1)
}

// DecodeTable is the inverse of AppendTable. What it returns does not refer to b.
func DecodeTable(b []byte) (Table, error) {
	return decodeTable(b, 1)
}

func appendTable(b []byte, t Table, depth int) (_ []byte, err error) {
	for _, f := range t {
		if f.Name == "" || len(f.Name) > math.MaxUint16 || strings.IndexByte(f.Name, 0) >= 0 {
			return nil, fmt.Errorf("%.40q is no name for a field: give it 1 to 65535 bytes, none of them zero", f.Name)
		}
		if b, err = appendValue(b, f.Name, f.Value, depth); err != nil {
			return nil, fmt.Errorf("field %.40q: %w", f.Name, err)
		}
	}
	return b, nil
}

func appendArray(b []byte, a Array, depth int) (_ []byte, err error) {
	for i, v := range a {
		if b, err = appendValue(b, "", v, depth); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return b, nil
}

func appendValue(b []byte, name string, v any, depth int) (_ []byte, err error) {
	kind, ok := typeOf(v)
	if !ok {
		return nil, fmt.Errorf("blobmsg has no type for a Go %T", v)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	b = pad(append(append(b, name...), 0))
	switch v := v.(type) {
	case Array:
		b, err = appendArray(b, v, depth+1)
	case Table:
		b, err = appendTable(b, v, depth+1)
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return nil, fmt.Errorf("%.40q: a string cannot hold a zero byte", v)
		}
		b = append(append(b, v...), 0)
	case int64:
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	case int32:
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	case int:
		if kind == TypeInt64 {
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		}
	case int16:
		b = binary.BigEndian.AppendUint16(b, uint16(v))
	case int8:
		b = append(b, byte(v))
	case bool:
		if v {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	case float64:
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	if err != nil {
		return nil, err
	}
	n := len(b) - start
	if n > attrLength {
		return nil, fmt.Errorf("takes %d bytes, more than the %d that a message can hold", n, MaxMessage)
	}
	binary.BigEndian.PutUint32(b[start:], extended|uint32(kind)<<24|uint32(n))
	return pad(b), nil
}

// pad brings b to a multiple of 4 bytes.
func pad(b []byte) []byte {
	return append(b, make([]byte, -len(b)&3)...)
}

// cut takes the first attribute off b.
func cut(b []byte) (head uint32, data, rest []byte, err error) {
	if len(b) < attrHeader {
		return 0, nil, nil, errLength
	}
	head = binary.BigEndian.Uint32(b)
	n := int(head & attrLength)
	padded := (n + 3) &^ 3
	if n < attrHeader || padded > len(b) {
		return 0, nil, nil, errLength
	}
	return head, b[attrHeader:n], b[padded:], nil
}

func decodeTable(b []byte, depth int) (Table, error) {
	t := Table{}
	for len(b) > 0 {
		name, v, rest, err := decodeValue(b, depth)
		if err == nil && name == "" {
			err = errors.New("a field without a name")
		}
		if err != nil {
			return nil, err
		}
		t, b = append(t, Field{name, v}), rest
	}
	return t, nil
}

func decodeArray(b []byte, depth int) (Array, error) {
	a := Array{}
	for len(b) > 0 {
		_, v, rest, err := decodeValue(b, depth)
		if err != nil {
			return nil, err
		}
		a, b = append(a, v), rest
	}
	return a, nil
}

func decodeValue(b []byte, depth int) (name string, v any, rest []byte, err error) {
	head, data, rest, err := cut(b)
	if err != nil {
		return "", nil, nil, err
	}
	if depth > maxDepth {
		return "", nil, nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if name, data, err = cutName(head, data); err != nil {
		return "", nil, nil, err
	}
	switch kind := Type(head >> 24 & 0x7f); kind {
	case TypeUnspec:
	case TypeArray:
		v, err = decodeArray(data, depth+1)
	case TypeTable:
		v, err = decodeTable(data, depth+1)
	case TypeString:
		v, err = decodeString(data)
	default:
		v, err = decodeNumber(kind, data)
	}
	if err != nil {
		return "", nil, nil, err
	}
	return name, v, rest, nil
}

// cutName takes the blobmsg header off an attribute's data.
func cutName(head uint32, data []byte) (string, []byte, error) {
	if head&extended == 0 || len(data) < 3 {
		return "", nil, errors.New("a value without a blobmsg header")
	}
	n := int(binary.BigEndian.Uint16(data))
	end := (2 + n + 1 + 3) &^ 3
	if 2+n >= len(data) || data[2+n] != 0 {
		return "", nil, errLength
	}
	if end > len(data) {
		end = len(data) // no data, and a sender that does not pad
	}
	name := data[2 : 2+n]
	if bytes.IndexByte(name, 0) >= 0 {
		return "", nil, errors.New("a name with a zero byte")
	}
	return string(name), data[end:], nil
}

// decodeString takes what is before the first zero byte, as C does.
func decodeString(data []byte) (string, error) {
	i := bytes.IndexByte(data, 0)
	if i < 0 || data[len(data)-1] != 0 {
		return "", errors.New("a string without its end")
	}
	return string(data[:i]), nil
}

func decodeNumber(kind Type, data []byte) (any, error) {
	switch {
	case kind == TypeInt8 && len(data) == 1:
		if data[0] <= 1 {
			return data[0] == 1, nil
		}
		return int8(data[0]), nil
	case kind == TypeInt16 && len(data) == 2:
		return int16(binary.BigEndian.Uint16(data)), nil
	case kind == TypeInt32 && len(data) == 4:
		return int32(binary.BigEndian.Uint32(data)), nil
	case kind == TypeInt64 && len(data) == 8:
		return int64(binary.BigEndian.Uint64(data)), nil
	case kind == TypeDouble && len(data) == 8:
		return math.Float64frombits(binary.BigEndian.Uint64(data)), nil
	}
	return nil, fmt.Errorf("a value of type %d with %d bytes", kind, len(data))
}
