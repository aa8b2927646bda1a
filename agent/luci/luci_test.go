package luci_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/config"
	ours "wguplink/agent/json"
	"wguplink/agent/luci"
	"wguplink/agent/uci"
)

const key = "QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA="

const good = `
config uplink 'mesh'
	option protocol 'static'
	option vxlan_id '1906606'
	option private_key '` + key + `'

config gateway 'gw1'
	option uplink 'mesh'
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	list endpoint '192.0.2.1:51820'
	option link_address 'fe80::1'
`

type tree struct{ *uci.Tree }

func (t tree) SetList(config, section, option string, values ...string) error {
	return t.SetType(config, section, option, uci.TypeList, values...)
}

// router is a folder with a configuration, and what the plug-in did beside it.
type router struct {
	t       *testing.T
	dir     string
	told    int
	telling error
	asked   []string
	found   string
}

func newRouter(t *testing.T, text string) *router {
	t.Helper()
	r := &router{t: t, dir: t.TempDir()}
	if text != "" {
		if err := os.WriteFile(filepath.Join(r.dir, "wguplink"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *router) file() string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "wguplink"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

type answer struct {
	luci.Answer
	Error   string
	Running bool
	Results json.RawMessage
}

// call runs the plug-in as rpcd does. No answer may have the key.
func (r *router) call(method, args string) (a answer) {
	r.t.Helper()
	p := luci.Plugin{
		Tree: tree{uci.NewTree(r.dir, filepath.Join(r.dir, "staged"))}, File: config.File,
		Changed: func() error { r.told++; return r.telling },
		Doctor: func(uplink string, start bool) (ours.RawMessage, error) {
			if start {
				r.asked = append(r.asked, uplink)
				return nil, nil
			}
			return ours.RawMessage(r.found), nil
		},
	}
	var out bytes.Buffer
	if err := p.Run([]string{"call", method}, strings.NewReader(args), &out); err != nil {
		r.t.Fatal(err)
	}
	if strings.Contains(out.String(), key) {
		r.t.Errorf("%s tells the key: %s", method, &out)
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		r.t.Fatalf("%v: %s", err, &out)
	}
	return a
}

func TestConfig(t *testing.T) {
	r := newRouter(t, good)
	a := r.call("config", `{"ubus_rpc_session":"0123456789abcdef0123456789abcdef"}`)
	want := []config.Section{
		{Name: "mesh", Title: "mesh", Type: "uplink",
			Options: map[string]any{"protocol": "static", "vxlan_id": "1906606"},
			Secret:  []string{"private_key"}},
		{Name: "gw1", Title: "gw1", Type: "gateway",
			Options: map[string]any{"uplink": "mesh", "link_address": "fe80::1",
				"public_key": "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=", "endpoint": []any{"192.0.2.1:51820"}}},
	}
	if diff := cmp.Diff(want, a.Sections); diff != "" || len(a.Problems) > 0 || a.File != config.File {
		t.Errorf("%+v (-want +got):\n%s", a, diff)
	}
}

// The key is never told: not under another option's name, and not in a mistake.
func TestKeyIsNotTold(t *testing.T) {
	for _, text := range []string{
		strings.Replace(good, "private_key", "privatekey", 1),
		strings.Replace(good, "option private_key", "list private_key", 1),
		strings.Replace(good, "private_key", "location", 1),
		strings.Replace(good, "private_key", "mtu", 1),
		strings.Replace(good, "option private_key", "list dns", 1),
		strings.Replace(good, "config uplink 'mesh'", "config uplinks 'mesh'", 1),
		good + "config wireguard 'old'\n\toption private_key '" + key + "'\n",
	} {
		a := newRouter(t, text).call("config", "{}")
		if a.Error == "" && len(a.Sections) == 0 {
			t.Errorf("nothing of %s", text)
		}
	}
}

func TestNoFile(t *testing.T) {
	r := newRouter(t, "")
	if a := r.call("config", "{}"); a.Error != "" || len(a.Sections) != 0 || len(a.Problems) != 0 {
		t.Errorf("%+v", a)
	}
	a := r.call("apply", `{"add":{"mesh":"uplink"},"set":{"mesh":{"protocol":"static","enabled":"0"}}}`)
	if a.Saved || len(a.Problems) == 0 {
		t.Errorf("an uplink without what it needs was saved: %+v", a)
	}
	r = newRouter(t, "config uplink 'mesh'\n\toption\n")
	if a := r.call("config", "{}"); !strings.Contains(a.Error, "cannot read") {
		t.Errorf("%+v", a)
	}
}

func TestApply(t *testing.T) {
	r := newRouter(t, good)
	a := r.call("apply", `{
		"add": {"gw2": "gateway"},
		"set": {
			"mesh": {"mtu": "1400", "vxlan_id": "", "domain_seed": "e9608c4ff338b920992d629190e9ff11049de1dfc3f299eac07792dfbcda341c", "dns": ["192.0.2.9"]},
			"gw2": {"uplink": "mesh", "public_key": "TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g=", "endpoint": ["192.0.2.2:1", "gw2.example.org:1"], "link_address": "fe80::2"}
		},
		"remove": ["gw1"]
	}`)
	if a.Error != "" || !a.Saved || a.Note != "" || len(a.Problems) > 0 || r.told != 1 {
		t.Fatalf("%+v, told %d times", a, r.told)
	}
	want := `
config uplink 'mesh'
	option protocol 'static'
	option private_key '` + key + `'
	list dns '192.0.2.9'
	option domain_seed 'e9608c4ff338b920992d629190e9ff11049de1dfc3f299eac07792dfbcda341c'
	option mtu '1400'

config gateway 'gw2'
	list endpoint '192.0.2.2:1'
	list endpoint 'gw2.example.org:1'
	option link_address 'fe80::2'
	option public_key 'TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g='
	option uplink 'mesh'
`
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(r.file())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.telling = errors.New("no ubus")
	if a := r.call("apply", `{"set":{"mesh":{"mtu":"auto"}}}`); !a.Saved || a.Note != "no ubus" {
		t.Errorf("%+v", a)
	}
}

// What would bring a mistake changes nothing, nor does what cannot be written from here.
func TestApplyRefuses(t *testing.T) {
	for args, want := range map[string]string{
		`{"set":{"mesh":{"mtu":"12"}}}`:                                  "1280 to 65535",
		`{"set":{"mesh":{"mtu":"1400"}},"remove":["gw1"]}`:               "no enabled gateway",
		`{"set":{"mesh":{"private_key":"x"}}}`:                           "cannot be written",
		`{"set":{"mesh":{"private_key":""}}}`:                            "cannot be written",
		`{"set":{"mesh":{"colour":"red"}}}`:                              "cannot be written",
		`{"set":{"gw1":{"private_key":"x"}}}`:                            "cannot be written",
		`{"set":{"none":{"mtu":"1400"}}}`:                                "load the page again",
		`{"remove":["none"]}`:                                            "load the page again",
		`{"add":{"a b":"uplink"}}`:                                       "letters, digits",
		`{"add":{"mesh":"uplink"}}`:                                      "of that name already",
		`{"add":{"mesh":"gateway"}}`:                                     "of that name already",
		`{"add":{"cfg012345":"gateway"}}`:                                "gives such names",
		`{"add":{"x":"interface"}}`:                                      "no type",
		`{"add":{"x":"uplink"},"set":{"x":{"protocol":"static"}}}`:       "vxlan_id",
		`{"set":{"mesh":{"mtu":["1400","1300"]}}}`:                       "one",
		`{"set":{"mesh":{"node_name":"a\u0000b"}}}`:                      "control",
		`{"set":{"mesh":{"location":"a\nconfig uplink 'evil'"}}}`:        "location",
		`{"set":{"mesh":{"mtu":1400}}}`:                                  "a string or a list",
		`{"set":[]}`:                                                     "not what the method takes",
		`nonsense`:                                                       "not what the method takes",
		`{"add":{"gw3":"gateway"},"set":{"gw3":{"public_key":"short"}}}`: "44 characters",
	} {
		r := newRouter(t, good)
		a := r.call("apply", args)
		text := a.Error
		for _, p := range a.Problems {
			text += p.Text + "\n"
		}
		if a.Saved || !strings.Contains(text, want) || r.file() != good || r.told != 0 {
			t.Errorf("%s: %q, want %q; saved %t, told %d times, file:\n%s", args, text, want, a.Saved, r.told, r.file())
		}
	}
}

// A mistake that is there already does not stop the correction of another.
func TestApplyBesideMistake(t *testing.T) {
	r := newRouter(t, strings.Replace(good, "option vxlan_id '1906606'", "option vxlan_id '0'\n\toption mtu '12'", 1))
	a := r.call("apply", `{"set":{"mesh":{"mtu":"1400"}}}`)
	if !a.Saved || len(a.Problems) != 1 || a.Problems[0].Option != "vxlan_id" {
		t.Errorf("%+v", a)
	}
}

func TestDoctor(t *testing.T) {
	r := newRouter(t, good)
	if a := r.call("doctor", `{"uplink":"mesh","start":true}`); a.Error != "" || !a.Running {
		t.Errorf("%+v", a)
	}
	r.found = `[{"uplink":"mesh"}]`
	if a := r.call("doctor", `{"uplink":"","start":false}`); a.Running || string(a.Results) != r.found {
		t.Errorf("%+v", a)
	}
	for _, name := range []string{"other", "gw1", "--config=/tmp", "-h"} {
		if a := r.call("doctor", `{"uplink":"`+name+`","start":true}`); !strings.Contains(a.Error, "no uplink") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if diff := cmp.Diff([]string{"mesh"}, r.asked); diff != "" {
		t.Error(diff)
	}
}

// rpcd runs a plug-in in two ways, and asks it for its methods first (openwrt/rpcd, plugin.c).
func TestList(t *testing.T) {
	var out bytes.Buffer
	var p luci.Plugin
	if err := p.Run([]string{"list"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	var methods map[string]map[string]any
	if err := json.Unmarshal(out.Bytes(), &methods); err != nil || len(methods) != 3 {
		t.Errorf("%v: %s", err, &out)
	}
	for _, args := range [][]string{nil, {"call"}, {"call", "steal"}, {"dance"}, {"list", "more"}} {
		if err := p.Run(args, strings.NewReader("{}"), &out); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
