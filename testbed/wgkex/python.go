package wgkex

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// pythonJSON makes JSON for encoding/json of what Python's json.loads takes from bytes: UTF-8 with a byte order mark,
// UTF-16 and UTF-32 in either order of bytes, with a mark or without (json.detect_encoding), and the numbers NaN and
// Infinity, which become null. It reports false for bytes that are not text in the encoding that they seem to have.
func pythonJSON(body []byte) ([]byte, bool) {
	text, ok := decode(body)
	if !ok || !utf8.Valid(text) {
		return nil, false
	}
	return withoutNaN(text), true
}

// decode returns UTF-8 without a byte order mark.
func decode(b []byte) ([]byte, bool) {
	zero := func(i int) bool { return i < len(b) && b[i] == 0 }
	var le, be binary.ByteOrder = binary.LittleEndian, binary.BigEndian
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe, 0, 0}):
		return decode32(b[4:], le)
	case bytes.HasPrefix(b, []byte{0, 0, 0xfe, 0xff}):
		return decode32(b[4:], be)
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return decode16(b[2:], le)
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return decode16(b[2:], be)
	case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
		return b[3:], true
	case len(b) >= 4 && zero(0) && zero(1):
		return decode32(b, be)
	case len(b) >= 4 && zero(0):
		return decode16(b, be)
	case len(b) >= 4 && zero(1) && zero(2) && zero(3):
		return decode32(b, le)
	case len(b) >= 4 && zero(1):
		return decode16(b, le)
	case len(b) == 2 && zero(0):
		return decode16(b, be)
	case len(b) == 2 && zero(1):
		return decode16(b, le)
	}
	return b, true
}

func decode16(b []byte, order binary.ByteOrder) ([]byte, bool) {
	if len(b)%2 != 0 {
		return nil, false
	}
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) > 0; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return []byte(string(utf16.Decode(units))), true
}

func decode32(b []byte, order binary.ByteOrder) ([]byte, bool) {
	if len(b)%4 != 0 {
		return nil, false
	}
	var text []byte
	for ; len(b) > 0; b = b[4:] {
		r := rune(order.Uint32(b))
		if !utf8.ValidRune(r) {
			return nil, false
		}
		text = utf8.AppendRune(text, r)
	}
	return text, true
}

// withoutNaN replaces NaN, Infinity and -Infinity outside of strings.
func withoutNaN(text []byte) []byte {
	var out []byte
	inString := false
	for len(text) > 0 {
		c := text[0]
		if inString && c == '\\' && len(text) > 1 {
			out, text = append(out, text[:2]...), text[2:]
			continue
		}
		if c == '"' {
			inString = !inString
		}
		replaced := false
		if !inString {
			for _, word := range []string{"NaN", "-Infinity", "Infinity"} {
				if bytes.HasPrefix(text, []byte(word)) {
					out, text, replaced = append(out, "null"...), text[len(word):], true
					break
				}
			}
		}
		if !replaced {
			out, text = append(out, c), text[1:]
		}
	}
	return out
}
