package parker

import (
	"encoding/json"
	"slices"
	"strings"
)

// Field is one name and value of an answer; the value is JSON.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Fields are an answer, in the order of its JSON.
type Fields []Field

// Get gives the value of a field, nil when there is none.
func (f Fields) Get(name string) json.RawMessage {
	for _, x := range f {
		if x.Name == name {
			return x.Value
		}
	}
	return nil
}

// Set changes a field or appends it. value becomes JSON; a json.RawMessage is taken as it is.
func (f *Fields) Set(name string, value any) {
	raw, ok := value.(json.RawMessage)
	if !ok {
		raw = mustJSON(value)
	}
	for i := range *f {
		if (*f)[i].Name == name {
			(*f)[i].Value = raw
			return
		}
	}
	*f = append(*f, Field{name, raw})
}

// Delete removes a field.
func (f *Fields) Delete(name string) {
	*f = slices.DeleteFunc(*f, func(x Field) bool { return x.Name == name })
}

// line gives the JSON as Python's json.dumps writes it, and a newline.
func (f Fields) line() []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, x := range f {
		if i > 0 {
			b.WriteString(", ")
		}
		b.Write(mustJSON(x.Name))
		b.WriteString(": ")
		b.Write(spaced(x.Value))
	}
	b.WriteString("}\n")
	return []byte(b.String())
}

// spaced puts a space behind each comma and colon that is not in a string, and takes away all other white space.
func spaced(raw []byte) []byte {
	var out []byte
	quoted, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		}
		if !quoted && strings.IndexByte(" \t\r\n", c) >= 0 {
			continue
		}
		out = append(out, c)
		if !quoted && (c == ',' || c == ':') {
			out = append(out, ' ')
		}
	}
	return out
}

// value is a stored value as JSON: itself, if it is that, else a string.
func value(stored string) json.RawMessage {
	if json.Valid([]byte(stored)) {
		return json.RawMessage(stored)
	}
	return mustJSON(stored)
}

func mustJSON(v any) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only our own types come here, and all can be encoded
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}
