package ubus

// Type is the type of a blobmsg value (enum blobmsg_type in blobmsg.h).
type Type uint8

const (
	TypeUnspec Type = iota // no value: JSON's null. As the type of an argument: any
	TypeArray
	TypeTable
	TypeString
	TypeInt64
	TypeInt32
	TypeInt16
	TypeInt8
	TypeDouble

	TypeBool = TypeInt8
)

// Table is a blobmsg table. Its order is kept on the wire.
type Table []Field

// Field is a named value of a table. The name has 1 to 65535 bytes, none of them zero.
//
// The value is one of: string (without zero bytes), bool (int8 on the wire), int8, int16, int32, int64, float64, Table,
// Array, nil, or int, which goes out as int32 when it fits, as the tool ubus does it. What comes in as int8 is a bool
// if it is 0 or 1. Unsigned integers do not exist on the wire: those who use them send the bits of a signed one.
type Field struct {
	Name  string
	Value any
}

// Array is a blobmsg array, of values as in Field.
type Array []any

// Get returns the first value of that name: the one that libubox would take.
func (t Table) Get(name string) (any, bool) {
	for _, f := range t {
		if f.Name == name {
			return f.Value, true
		}
	}
	return nil, false
}

// String returns the value of that name if it is a string.
func (t Table) String(name string) (string, bool) { return get[string](t, name) }

// Bool returns the value of that name if it is a bool.
func (t Table) Bool(name string) (bool, bool) { return get[bool](t, name) }

// Table returns the value of that name if it is a table.
func (t Table) Table(name string) (Table, bool) { return get[Table](t, name) }

// Array returns the value of that name if it is an array.
func (t Table) Array(name string) (Array, bool) { return get[Array](t, name) }

// Int returns the value of that name if it is an integer of any width.
func (t Table) Int(name string) (int64, bool) {
	switch v, _ := t.Get(name); v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case int:
		return int64(v), true
	}
	return 0, false
}

func get[T any](t Table, name string) (T, bool) {
	v, _ := t.Get(name)
	x, ok := v.(T)
	return x, ok
}

// typeOf returns the type that v has on the wire; false when it has none.
func typeOf(v any) (Type, bool) {
	switch v := v.(type) {
	case nil:
		return TypeUnspec, true
	case Array:
		return TypeArray, true
	case Table:
		return TypeTable, true
	case string:
		return TypeString, true
	case int64:
		return TypeInt64, true
	case int32:
		return TypeInt32, true
	case int:
		if int(int32(v)) == v {
			return TypeInt32, true
		}
		return TypeInt64, true
	case int16:
		return TypeInt16, true
	case int8, bool:
		return TypeInt8, true
	case float64:
		return TypeDouble, true
	}
	return 0, false
}
