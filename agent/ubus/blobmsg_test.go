package ubus

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nested is a table with n tables in it, one in the other.
func nested(n int) Table {
	t := Table{}
	for range n {
		t = Table{{"a", t}}
	}
	return t
}

func TestValues(t *testing.T) {
	tests := []struct {
		name string
		in   any
		out  any // when it comes back as something else
		wire string
	}{
		{"string", "hi", nil, "8300000b 0001 7600 68690000"},
		{"empty string", "", nil, "83000009 0001 7600 00000000"},
		{"true", true, nil, "87000009 0001 7600 01000000"},
		{"false", false, nil, "87000009 0001 7600 00000000"},
		{"int8", int8(-2), nil, "87000009 0001 7600 fe000000"},
		{"int16", int16(-2), nil, "8600000a 0001 7600 fffe0000"},
		{"int32", int32(-2), nil, "8500000c 0001 7600 fffffffe"},
		{"int", 7, int32(7), "8500000c 0001 7600 00000007"},
		{"int64", int64(7), nil, "84000010 0001 7600 0000000000000007"},
		{"double", 1.5, nil, "88000010 0001 7600 3ff8000000000000"},
		{"null", nil, nil, "80000008 0001 7600"},
		{"table", Table{}, nil, "82000008 0001 7600"},
		{"nil table", Table(nil), Table{}, "82000008 0001 7600"},
		{"array", Array{}, nil, "81000008 0001 7600"},
		{"nested", Table{{"x", Array{int32(1), "a"}}}, nil,
			"82000028 0001 7600 81000020 0001 7800 8500000c 0000 0000 00000001 8300000a 0000 0000 61000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := AppendTable(nil, Table{{"v", tt.in}})
			ok(t, err)
			if want, err := hex.DecodeString(strings.ReplaceAll(tt.wire, " ", "")); err != nil ||
				!bytes.Equal(b, want) {
				t.Fatalf("\n got %x\nwant %x", b, want)
			}
			want := tt.out
			if want == nil {
				want = tt.in
			}
			got, err := DecodeTable(b)
			if diff := cmp.Diff(Table{{"v", want}}, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	if math.MaxInt > math.MaxInt32 {
		if kind, _ := typeOf(math.MaxInt); kind != TypeInt64 {
			t.Errorf("a large int has type %d", kind)
		}
	}
}

func TestCannotEncode(t *testing.T) {
	for name, table := range map[string]Table{
		"no name":        {{"", 1}},
		"zero in name":   {{"a\x00b", 1}},
		"name too long":  {{strings.Repeat("x", 65536), 1}},
		"zero in string": {{"a", "b\x00c"}},
		"unsigned":       {{"a", uint32(1)}},
		"in an array":    {{"a", Array{struct{}{}}}},
		"depth":          nested(33),
		"17 MB":          {{"a", strings.Repeat("x", 17<<20)}},
	} {
		if b, err := AppendTable(nil, table); err == nil {
			t.Errorf("%s: %d bytes", name, len(b))
		} else if len(err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	_, err := AppendTable(nil, nested(32))
	ok(t, err)
}

func TestCannotDecode(t *testing.T) {
	deep, err := AppendTable(nil, nested(32))
	ok(t, err)
	outer := append([]byte{0x82, 0, byte((len(deep) + 8) >> 8), byte(len(deep) + 8), 0, 1, 'a', 0}, deep...)
	for name, s := range map[string]string{
		"half a head":           "8300",
		"length 0":              "83000000",
		"length 3":              "83000003",
		"length beyond the end": "8300000c 0001 7600",
		"largest length":        "83ffffff 0001 7600",
		"no padding":            "8300000a 0001 7600 6100",
		"no blobmsg header":     "0300000c 0001 7600 61000000",
		"header cut":            "83000006 0001 0000",
		"name beyond the end":   "8300000c ffff 7600 61000000",
		"name without its end":  "82000008 0001 7661",
		"name with a zero":      "82000008 0001 0000",
		"no name":               "82000008 0000 0000",
		"string without end":    "8300000a 0001 7600 61610000",
		"no string":             "83000008 0001 7600",
		"int32 of 3 bytes":      "8500000b 0001 7600 01020300",
		"int8 of 2 bytes":       "8700000a 0001 7600 01020000",
		"type 9":                "8900000c 0001 7600 01020304",
		"bad inside":            "8200000c 0001 7600 83000003",
		"too deep":              hex.EncodeToString(outer),
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		ok(t, err)
		if table, err := DecodeTable(b); err == nil {
			t.Errorf("%s: %v", name, table)
		}
	}
}

func TestTable(t *testing.T) {
	table := Table{{"s", "x"}, {"b", true}, {"t", Table{{"y", 1}}}, {"a", Array{1}}, {"i", int16(-3)}, {"l", int64(4)},
		{"s", "second"}, {"c", int8(5)}, {"w", int32(6)}, {"g", 7}}
	if s, is := table.String("s"); s != "x" || !is {
		t.Errorf("s: %q", s)
	}
	if b, is := table.Bool("b"); !b || !is {
		t.Error("b")
	}
	if v, is := table.Table("t"); len(v) != 1 || !is {
		t.Error("t")
	}
	if v, is := table.Array("a"); len(v) != 1 || !is {
		t.Error("a")
	}
	for name, want := range map[string]int64{"i": -3, "l": 4, "c": 5, "w": 6, "g": 7} {
		if got, is := table.Int(name); got != want || !is {
			t.Errorf("%s: %d", name, got)
		}
	}
	_, s := table.String("b")
	_, i := table.Int("s")
	_, none := table.Get("none")
	if s || i || none {
		t.Error("found what is not there")
	}
}

func TestJSON(t *testing.T) {
	const text = `{"z":"\u00e4\"","a":[1,-2147483648,2147483648,1.5,true,null,[],{}],"m":{"b":false,"a":{}}}`
	want := Table{{"z", `ä"`},
		{"a", Array{int32(1), int32(math.MinInt32), int64(1 << 31), 1.5, true, nil, Array{}, Table{}}},
		{"m", Table{{"b", false}, {"a", Table{}}}}}
	got, err := TableFromJSON([]byte(text))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	b, err := json.Marshal(append(got, Field{"nil", Array(nil)}, Field{"none", Table(nil)}))
	ok(t, err)
	if want := strings.TrimSuffix(strings.Replace(text, `\u00e4`, "ä", 1), "}") +
		`,"nil":[],"none":{}}`; string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
	for _, bad := range []string{"", "1", "[]", "null", `{"a":1`, `{"a":1}x`, `{"a":}`, `{"a":1e999}`, `{"a":[1,}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}"} {
		if table, err := TableFromJSON([]byte(bad)); err == nil {
			t.Errorf("%s: %v", bad, table)
		}
	}
}

// Each decoded message can be encoded again, and means the same then.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"client.txt", "server.txt"} {
		for _, s := range sessions(f, name) {
			for _, w := range s {
				m, err := ReadMessage(bytes.NewReader(w.data))
				if err != nil {
					f.Fatal(err)
				}
				f.Add([]byte(m.Body))
				if a, err := m.Attrs(); err == nil {
					f.Add(a[AttrData])
					f.Add(a[AttrSignature])
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := (Message{Body: b}).Attrs(); err == nil {
			_, _ = objectInfo(a)
		}
		table, err := DecodeTable(b)
		if err != nil {
			return
		}
		once, err := AppendTable(nil, table)
		ok(t, err)
		again, err := DecodeTable(once)
		ok(t, err)
		if twice, err := AppendTable(nil, again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x became %x, %v", once, twice, err)
		}
		if len(once) > len(b) {
			t.Errorf("%d bytes became %d", len(b), len(once))
		}
		_, _ = json.Marshal(table)
	})
}

func FuzzReadMessage(f *testing.F) {
	for _, s := range sessions(f, "client.txt") {
		for _, w := range s {
			f.Add(w.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := bytes.NewReader(b); ; {
			from := len(b) - r.Len()
			m, err := ReadMessage(r)
			if err != nil {
				return
			}
			out, err := m.Append(nil)
			ok(t, err)
			out[8] = b[from+8] // the root's id means nothing
			if want := b[from : len(b)-r.Len()]; !bytes.Equal(out, want) {
				t.Fatalf("%x became %x", want, out)
			}
		}
	})
}
