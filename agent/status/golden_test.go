package status

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/status.json anew")

// fill gives each field of a value something, so that none is left out of its JSON.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(*n)
	}
}

// The golden file has every field of the status once. What is another in it now is another for programs that read it,
// on the command line and on ubus, whose tests read the file, too.
func TestSchema(t *testing.T) {
	var s Snapshot
	var n int64
	fill(reflect.ValueOf(&s).Elem(), &n)
	s.Uplink = "mesh"
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/status.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf(
			"%s (-want +got); if programs are to read another status: go test ./agent/status -update, docs/ubus.md "+
				"and CHANGELOG.md:\n%s", golden, diff)
	}
	var back Snapshot
	if err := json.Unmarshal(want, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// docs/ubus.md names each field of the status, each state, cause and result.
func TestSchemaDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/ubus.md")
	if err != nil {
		t.Fatal(err)
	}
	named := func(word string) {
		if !bytes.Contains(doc, []byte("`"+word+"`")) {
			t.Errorf("docs/ubus.md does not name `%s`", word)
		}
	}
	var fields func(typ reflect.Type, path string)
	fields = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			named(path + name)
			fields(typ.Field(i).Type, path+name+".")
		}
	}
	fields(reflect.TypeFor[Snapshot](), "")
	for _, s := range []State{Starting, Connecting, Connected, Suspect, Impaired, Stopped} {
		named(string(s))
	}
	for _, c := range []Cause{Config, BadKey, NoWAN, Clock, Device, BrokerUnreachable, BrokerRefused, NotRegistered,
		NoHandshake, NoAnswer, NoNeighbour} {
		named(string(c))
	}
	for _, r := range []Result{Untried, Trying, Answered, NoShake, Unanswering, WasSilent, NoAddress} {
		named(string(r))
	}
}
