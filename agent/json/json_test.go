package json_test

import (
	"bytes"
	library "encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"wguplink/agent/json"
)

type word string

// sample has what our structs have. Names of digits have no other case, by which the library would take them as well.
type sample struct {
	A string         `json:"1"`
	B int            `json:"2,omitempty"`
	C uint16         `json:"3"`
	D float64        `json:"4,omitempty"`
	E bool           `json:"5"`
	F []string       `json:"6,omitempty"`
	G map[string]any `json:"7"`
	H *inner         `json:"8,omitempty"`
	I inner          `json:"9"`
	J any            `json:"10"`
	K []*inner       `json:"11"`
	L netip.Addr     `json:"12"`
	M *netip.Prefix  `json:"13,omitempty"`
	N time.Duration  `json:"14"`
	O word           `json:"15,omitempty"`
	P map[word]int8  `json:"16,omitempty"`
	Q library.Number `json:"-"`
	R time.Time      `json:"17"`
	S [][]int        `json:"18"`
}

type inner struct {
	A int64  `json:"1"`
	B string `json:"2,omitempty"`
	C *int8  `json:"3"`
}

func texts(t testing.TB) (all []string) {
	t.Helper()
	all = []string{
		"", " ", "null", "true", "false", "nul", "truee", "0", "-0", "-", "01", "1.", "1.5e+10", "1e", "1e999", "-1e-9",
		".5", "+1", "1 2", "NaN", "Infinity", "0x1",
		`""`, `"a`, `"\u00e9\ud83d\ude00\ud83d x \udc00"`, `"\u12"`, `"\x"`, "\"\x01\"", "\"\x7f\xff\xc3\"",
		`"\"\\\/\b\f\n\r\t"`, "\"\u2028<&>\"",
		"[]", "[ ]", "[1,]", "[1,2", "[1 2]", "[,1]", "[[[[1]]]]", "]", "{}", "{ }", `{"a":1}`, `{"a":1,}`, `{"a"}`,
		`{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`,
		"\ufeff{}", "{}x", " \t\r\n{ \"a\" : [ 1 , { } ] } \n",
		`{"1":null,"2":null,"8":null,"9":null,"11":[null],"12":null,"17":null}`, `{"]":"}"}`, "[}", "{]",
		`{"1":"x","2":-3,"3":65535,"4":1.25,"5":true,"6":["a","b"],"7":{"k":[1,"x",null,true,{"y":2}]},` +
			`"8":{"1":9223372036854775807,"3":-128},"9":{"2":"b"},` +
			`"10":[1],"11":[{"1":1},null],"12":"fe80::1","13":"10.0.0.0/8","14":1000000000,"15":"w",` +
			`"16":{"b":1,"a":-1},"17":"2026-02-03T04:05:06Z","18":[[1,2],[],null]}`,
		`{"1":1}`, `{"2":"1"}`, `{"2":1.0}`, `{"3":65536}`, `{"3":-1}`, `{"4":"1"}`, `{"5":1}`, `{"6":{}}`, `{"7":[]}`,
		`{"8":1}`, `{"12":"x"}`, `{"12":1}`, `{"14":1e3}`,
		`{"16":{"a":128}}`, `{"17":"x"}`, `{"2":9223372036854775808}`, `{"8":{"1":1},"8":{"2":"x"}}`,
		`{"6":["a","b"],"6":["c"]}`, `{"7":{"a":1},"7":{"b":2}}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), strings.Repeat("[", 99),
	}
	status, err := os.ReadFile("../status/testdata/status.json")
	if err != nil {
		t.Fatal(err)
	}
	answers, err := os.ReadFile("../broker/testdata/responses-main.txt")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(all, string(status)), strings.Split(string(answers), "\n")...)
}

// deep says that a text is nested deeper than we read.
func deep(b []byte) bool {
	depth, most := 0, 0
	for _, c := range b { // brackets in strings count, too
		switch c {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	return most > 1000
}

// compare does all with a text that both packages do.
func compare(t *testing.T, b []byte) {
	if deep(b) {
		return
	}
	valid := library.Valid(b)
	if json.Valid(b) != valid {
		t.Fatalf("%q is valid: %v, the library says %v", b, !valid, valid)
	}
	var want bytes.Buffer
	got, err := json.Compact(nil, b)
	if wrong := library.Compact(&want, b); (err == nil) != (wrong == nil) || err == nil && !bytes.Equal(got,
		want.Bytes()) {
		t.Errorf("%q without space is %q, %v; the library has %q, %v", b, got, err, want.Bytes(), wrong)
	}
	if err != nil && !errors.Is(err, json.ErrSyntax) {
		t.Errorf("%q: %v", b, err)
	}
	for _, both := range [][2]any{{new(any), new(any)}, {new(sample), new(sample)}, {new(map[string]int),
		new(map[string]int)}, {new([]string), new([]string)},
		{new(string), new(string)}, {new(int8), new(int8)}, {new(uint64), new(uint64)}, {new(bool), new(bool)},
		{new(*sample), new(*sample)}} {
		err, wrong := json.Unmarshal(b, both[0]), library.Unmarshal(b, both[1])
		if (err == nil) != (wrong == nil) {
			t.Errorf("%q into %T: %v, the library says %v", b, both[0], err, wrong)
		}
		if err == nil && wrong == nil {
			if !reflect.DeepEqual(both[1], both[0]) {
				t.Errorf("%q is read as %+v, the library reads %+v", b, both[0], both[1])
			}
			write(t, both[0])
		}
	}
	tokens(t, b)
}

// write writes a value by both packages.
func write(t *testing.T, v any) {
	t.Helper()
	want, wrong := library.Marshal(v)
	got, err := json.Marshal(v)
	if (err == nil) != (wrong == nil) || !bytes.Equal(got, want) {
		t.Errorf("%#v is %q, %v; the library writes %q, %v", v, got, err, want, wrong)
	}
	var pretty bytes.Buffer
	e := library.NewEncoder(&pretty)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	wrong = e.Encode(v)
	got, err = json.Indented(v)
	if (err == nil) != (wrong == nil) || err == nil && string(got)+"\n" != pretty.String() {
		t.Errorf("%#v is %q, %v; the library writes %q, %v", v, got, err, pretty.String(), wrong)
	}
}

// tokens reads an object or an array member by member.
func tokens(t *testing.T, b []byte) {
	type member struct{ name, value string }
	var got, want []member
	err := json.Object(b, func(name string, v json.RawMessage) error {
		got = append(got, member{name, string(v)})
		return nil
	})
	if err != nil {
		err = json.Array(b, func(v json.RawMessage) error {
			got = append(got, member{"", string(v)})
			return nil
		})
	}
	d := library.NewDecoder(bytes.NewReader(b))
	first, wrong := d.Token()
	object := first == library.Delim('{')
	if wrong == nil && !object && first != library.Delim('[') {
		wrong = io.EOF
	}
	for wrong == nil && d.More() {
		var m member
		if object {
			var name library.Token
			if name, wrong = d.Token(); wrong != nil {
				break
			}
			m.name = name.(string)
		}
		var raw library.RawMessage
		wrong = d.Decode(&raw)
		m.value = string(raw)
		want = append(want, m)
	}
	if !library.Valid(b) {
		wrong = io.EOF
	}
	if (err == nil) != (wrong == nil) || err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q has the members %q, %v; the library finds %q, %v", b, got, err, want, wrong)
	}
	if err != nil && got != nil {
		t.Errorf("%q: members before the error", b)
	}
}

func TestTexts(t *testing.T) {
	all := texts(t)
	for _, text := range all {
		compare(t, []byte(text))
	}
}

func FuzzCompare(f *testing.F) {
	for _, text := range texts(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(compare)
}

func TestWrite(t *testing.T) {
	eight, prefix := int8(-8), netip.MustParsePrefix("fe80::/10")
	for _, v := range []any{
		nil, true, 1, -1, uint8(255), int64(math.MinInt64), uint64(math.MaxUint64), "",
		"<&>\u2028\u2029\xff\x00\x1f\x7f\"\\\b\f\n\r\té", 0.0, 1e20, 1e21, 1e-6, 1e-7, -1.5e-9,
		123456789.125, math.SmallestNonzeroFloat64, math.MaxFloat64, math.Inf(1), math.NaN(), []int(nil), []int{},
		[2]int{1, 2}, [2]byte{1, 2}, map[string]string(nil), map[string]string{"<b>": "<", "a": ""},
		word("w"), map[word]any{"b": nil, "a": []any{}}, sample{}, &sample{B: 1, F: []string{}, H: &inner{C: &eight},
			M: &prefix, K: []*inner{nil, {}}}, (*sample)(nil),
		netip.MustParseAddr("fe80::1"), netip.Addr{}, []netip.Prefix{prefix}, (*netip.Addr)(nil), time.Date(2026, 2, 3,
			4, 5, 6, 7, time.UTC), time.Minute,
		struct {
			Raw json.RawMessage `json:"raw"`
			Not json.RawMessage `json:"not,omitempty"`
			Any any
			Bad func() `json:"-"`
		}{Raw: json.RawMessage(" { \"a\" : \"<\" } ")}, json.RawMessage(nil), json.RawMessage(`{"cut`),
		json.RawMessage(""), func() {}, make(chan int), []any{func() {}},
		map[string]any{"x": func() {}}, []map[string]int{{"a": 1}, {}, nil}, [][]string{{}, nil, {"a"}},
		map[string]any{"empty": map[string]any{}, "list": []any{[]any{}, 1}},
	} {
		write(t, v)
	}
	// What the library writes, and we refuse.
	for _, v := range []any{[]byte("x"), []byte(nil), map[int]string{1: "a"}, struct{ sample }{}, struct {
		A int `json:",string"`
	}{}} {
		if got, err := json.Marshal(v); err == nil {
			t.Errorf("%T is %s", v, got)
		}
	}
}

func TestRead(t *testing.T) {
	// Names are taken as they are written.
	var s struct {
		Name string `json:"name"`
		Raw  json.RawMessage
	}
	text := []byte(`{"NAME":"x","name":"y","Raw": [ 1 ] }`)
	if err := json.Unmarshal(text, &s); err != nil || s.Name != "y" || string(s.Raw) != "[ 1 ]" {
		t.Errorf("%+v, %v", s, err)
	}
	clear(text)
	if string(s.Raw) != "[ 1 ]" {
		t.Error("a value is not copied")
	}
	for _, to := range []any{nil, s, (*int)(nil)} {
		if err := json.Unmarshal([]byte("1"), to); err == nil {
			t.Errorf("read into %T", to)
		}
	}
	for text, want := range map[string]string{
		"":         "this is not JSON: it ends too early",
		`{"a":tru`: "this is not JSON: it ends too early",
		`{"a":x}`:  `this is not JSON at byte 6, 'x'`,
		"{} {}":    `this is not JSON at byte 4, '{'`,
	} {
		if err := json.Unmarshal([]byte(text), &s); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`{"name":[1]}`), &s); err == nil ||
		err.Error() != `name: JSON that begins with "[1]" is no string` {
		t.Error(err)
	}
	for depth, want := range map[int]bool{1000: true, 1001: false, 1000000: false} {
		if got := json.Valid([]byte(strings.Repeat("[", depth) + strings.Repeat("]", depth))); got != want {
			t.Errorf("nested %d times, valid: %v", depth, got)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := json.Array([]byte("[1,2,3]"), func(json.RawMessage) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
	for text, want := range map[string]bool{`"a"`: true, `"a`: false, `"`: false, "": false, "1": false, `"a"b`: false,
		`"a" `: false} {
		if s, ok := json.Text([]byte(text)); ok != want || ok && s != "a" {
			t.Errorf("%q says %q, %v", text, s, ok)
		}
	}
}
