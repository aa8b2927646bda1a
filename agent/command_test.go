package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/doctor"
)

const goodConfig = `config uplink 'mesh'
	option protocol 'static'
	option vxlan_id '1906606'

config gateway 'gw1'
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	list endpoint 'gw1.example.org:51820'
	option link_address 'fe80::1'
`

// folders makes a configuration and gives the options that point at it.
func folders(t *testing.T, uci string) (dir string, flags []string) {
	t.Helper()
	dir = t.TempDir()
	if uci != "" {
		if err := os.WriteFile(filepath.Join(dir, "wguplink"), []byte(uci), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, []string{"--config", dir, "--staged", filepath.Join(dir, "staged"), "--run", filepath.Join(dir, "run"),
		"--state=" + filepath.Join(dir, "state")}
}

// run runs a command in this process.
func run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = command(args, &out, &err)
	return code, out.String(), err.String()
}

func TestCommandLine(t *testing.T) {
	_, flags := folders(t, goodConfig)
	for _, tt := range []struct {
		args   []string
		code   int
		stdout string // part of it
		stderr string
	}{
		{nil, exitUsage, "", "Usage:"},
		{[]string{"--help"}, exitOK, "Usage:", ""},
		{[]string{"help"}, exitOK, "Usage:", ""},
		{[]string{"run", "--help"}, exitOK, "Usage:", ""},
		{[]string{"status", "-h"}, exitOK, "Usage:", ""},
		{[]string{"config", "check", "--help"}, exitOK, "Usage:", ""},
		{[]string{"dance"}, exitUsage, "", `no command "dance"`},
		{[]string{"config"}, exitUsage, "", `no command "config"`},
		{[]string{"key", "steal"}, exitUsage, "", `no command "key steal"`},
		{[]string{"run", "--fast"}, exitUsage, "", `no option "--fast"`},
		{[]string{"run", "--config"}, exitUsage, "", "option --config needs a value"},
		{[]string{"run", "--config="}, exitUsage, "", "option --config needs a value"},
		{[]string{"run", "mesh"}, exitUsage, "", `unexpected argument "mesh"`},
		{[]string{"status", "a", "b"}, exitUsage, "", `unexpected argument "b"`},
		{[]string{"wireguard-go"}, exitUsage, "", "IF is needed"},
		{[]string{"doctor", "a", "b"}, exitUsage, "", `unexpected argument "b"`},
		{append([]string{"doctor", "other"}, flags...), 10, `no uplink "other"`, ""},
		{[]string{"doctor", "--config", "/nonexistent"}, 10, "config", ""},
		{[]string{"reconnect", "a", "b"}, exitUsage, "", `unexpected argument "b"`},
		{[]string{"reconnect", "--ubus"}, exitUsage, "", "option --ubus needs a value"},
		{[]string{"reconnect", "--ubus", "/nonexistent/ubus.sock"}, exitFailed, "", "no ubusd runs"},
		{[]string{"wgpeerselector", "--help"}, exitOK, "--pid-file", ""},
		{[]string{"wgpeerselector", "--version"}, exitOK, "wgpeerselector: wguplink", ""},
		{[]string{"wgpeerselector"}, exitUsage, "", "wgpeerselector --help"},
		{[]string{"wgpeerselector", "-i", "wg_mesh", "--run"}, exitUsage, "", "--run"},
		{[]string{"version"}, exitOK, "wguplink unknown (variant " + variant() + ", commit unknown, " +
			runtime.Version() + ")\n", ""},
		{[]string{"--version"}, exitOK, "wguplink unknown (variant ", ""},
		{append([]string{"config", "check"}, flags...), exitOK, "1 uplink, no problem", ""},
		{append([]string{"key", "show"}, flags...), exitFailed, "", "has no key yet"},
		{append([]string{"key", "show", "other"}, flags...), exitFailed, "", `no uplink "other"`},
		{append([]string{"config", "check", "--json"}, flags...), exitOK, `"problems": []`, ""},
		{append([]string{"key", "show", "--json"}, flags...), exitFailed, `"problem": "uplink mesh has no key yet`, ""},
		{append([]string{"doctor", "--json", "other"}, flags...), 10, `"exit_code": 10`, ""},
		{append([]string{"run", "--json"}, flags...), exitUsage, "", `no option "--json"`},
		{append([]string{"reconnect", "--json"}, flags...), exitUsage, "", `no option "--json"`},
		{append([]string{"version", "--json"}, flags...), exitUsage, "", `no option "--json"`},
		{append([]string{"status"}, flags...), exitStopped, "mesh: stopped", ""},
		{append([]string{"status", "--json", "mesh"}, flags...), exitStopped, `"state": "stopped"`, ""},
	} {
		code, stdout, stderr := run(tt.args...)
		if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) ||
			tt.stderr == "" && stderr != "" {
			t.Errorf("%q: exit code %d, want %d\n%s%s", tt.args, code, tt.code, stdout, stderr)
		}
	}
}

func TestConfigCheckNamesEverything(t *testing.T) {
	dir, flags := folders(t, strings.Replace(goodConfig, "1906606", "16777216", 1)+"\toption colour 'red'\n")
	code, _, stderr := run(append([]string{"config", "check"}, flags...)...)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d problems:\n%s", len(lines), stderr)
	}
	for i, words := range [][]string{
		{filepath.Join(dir, "wguplink"), `"mesh"`, `"vxlan_id"`, `"16777216"`, "16777215"},
		{filepath.Join(dir, "wguplink"), `"gw1"`, `"colour"`},
	} {
		for _, w := range words {
			if !strings.Contains(lines[i], w) {
				t.Errorf("problem %d does not name %s: %s", i, w, lines[i])
			}
		}
	}
}

// What programs read: one value of JSON on standard output, nothing on standard error, and the exit code that people
// get.
func TestJSON(t *testing.T) {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	keyed := strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+private.String()+"'\n\n", 1)
	parse := func(uci string, want int, into any, args ...string) {
		t.Helper()
		_, flags := folders(t, uci)
		code, stdout, stderr := run(append(args, flags...)...)
		if err := json.Unmarshal([]byte(stdout), into); err != nil || stderr != "" || code != want {
			t.Fatalf("%q: exit code %d, %v\n%s%s", args, code, err, stdout, stderr)
		}
		if strings.Contains(stdout, private.String()) {
			t.Errorf("%q prints the private key", args)
		}
	}
	var c checkedConfig
	parse(keyed, exitOK, &c, "config", "check", "--json")
	if len(c.Uplinks) != 1 || c.Uplinks[0] != "mesh" || len(c.Problems) != 0 ||
		!strings.HasSuffix(c.File, "/wguplink") {
		t.Errorf("%+v", c)
	}
	c = checkedConfig{}
	parse(strings.Replace(keyed, "1906606", "16777216", 1)+"\toption colour 'red'\n", exitFailed, &c,
		"config", "check", "--json")
	if len(c.Problems) != 2 || c.Problems[0].Option != "vxlan_id" || c.Problems[0].Value != "16777216" ||
		c.Problems[1].Section != "gw1" || c.Problems[1].Text == "" {
		t.Errorf("%+v", c)
	}
	c = checkedConfig{}
	parse("config uplink 'mesh\n", exitFailed, &c, "config", "check", "--json")
	if len(c.Problems) != 1 || c.Problems[0].Text == "" {
		t.Errorf("%+v", c)
	}
	c = checkedConfig{}
	parse(strings.Replace(keyed, private.String(), private.String()[:43], 1), exitFailed, &c,
		"config", "check", "--json")
	if len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Text, "wguplink.mesh.private_key") {
		t.Errorf("%+v", c)
	}
	var keys []shownKey
	parse(keyed, exitOK, &keys, "key", "show", "--json", "mesh")
	if len(keys) != 1 || keys[0] != (shownKey{Uplink: "mesh", PublicKey: private.PublicKey().String()}) {
		t.Errorf("%+v", keys)
	}
	keys = nil
	parse(goodConfig, exitFailed, &keys, "key", "show", "--json")
	if len(keys) != 1 || keys[0].PublicKey != "" || keys[0].Problem == "" {
		t.Errorf("%+v", keys)
	}
	var all []examined
	parse("config uplink 'mesh'\n\toption colour 'red'\n", 10, &all, "doctor", "--json")
	if len(all) != 1 || all[0].Code != 10 || len(all[0].Findings) != len(doctor.Stages) ||
		all[0].Findings[0].Outcome != doctor.Failed {
		t.Errorf("%+v", all)
	}
}

func TestNoConfig(t *testing.T) {
	_, flags := folders(t, "")
	for _, verb := range [][]string{{"run"}, {"status"}, {"config", "check"}, {"key", "show"}} {
		code, _, stderr := run(append(verb, flags...)...)
		if code != exitFailed || !strings.Contains(stderr, "wguplink") {
			t.Errorf("%q: exit code %d, %s", verb, code, stderr)
		}
	}
}

func TestKeys(t *testing.T) {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	_, flags := folders(t, strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+private.String()+"'\n\n", 1))
	code, stdout, stderr := run(append([]string{"key", "show"}, flags...)...)
	if code != exitOK || strings.TrimSpace(stdout) != private.PublicKey().String() {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	broken := private.String()[:43]
	_, flags = folders(t, strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+broken+"'\n\n", 1))
	for _, verb := range [][]string{{"key", "show"}, {"config", "check"}} {
		code, stdout, stderr = run(append(verb, flags...)...)
		if code != exitFailed || !strings.Contains(stderr, "wguplink.mesh.private_key") ||
			strings.Contains(stdout+stderr, broken) {
			t.Errorf("%q: exit code %d: %s%s", verb, code, stdout, stderr)
		}
	}
}

// TestOwnKeyAsGateway: a node that has its own key as a gateway's would shake hands with itself.
func TestOwnKeyAsGateway(t *testing.T) {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+private.String()+"'\n\n", 1)
	_, flags := folders(t, text)
	if code, stdout, stderr := run(append([]string{"config", "check"}, flags...)...); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	text = regexp.MustCompile(`option public_key '[^']*'`).ReplaceAllString(text,
		"option public_key '"+private.PublicKey().String()+"'")
	_, flags = folders(t, text)
	code, stdout, stderr := run(append([]string{"config", "check"}, flags...)...)
	if code != exitFailed || !strings.Contains(stderr, `"gw1", option "public_key"`) ||
		!strings.Contains(stderr, "the key of this node itself") ||
		strings.Contains(stdout+stderr, private.String()) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// TestRunGroup: a group that does not exist ends the program before it does anything. What happens to one that does is
// for package wgpeerselector to test. A node whose agent has not run yet: --make does what the agent does first, once.
func TestKeyMake(t *testing.T) {
	dir, flags := folders(t, strings.Replace(goodConfig, "config uplink 'mesh'\n",
		"config uplink 'mesh'\n\tlist key_import 'old.vpn.key'\n", 1))
	old := "config vpn 'vpn'\n\toption key 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='\n"
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	show := func(more ...string) string {
		code, stdout, stderr := run(append(append([]string{"key", "show"}, more...), flags...)...)
		if code != exitOK || stderr != "" {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
		return stdout
	}
	made := show("--make")
	if again := show("--make"); again != made || show() != made {
		t.Errorf("%q, then %q: want one key", made, again)
	}
	text, err := os.ReadFile(filepath.Join(dir, "wguplink"))
	if err != nil || !strings.Contains(string(text), "QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA=") {
		t.Errorf("%v: the old key is not taken over:\n%s", err, text)
	}
}

// What an uplink has no use for is named, and keeps no node from it.
func TestConfigCheckNamesUnused(t *testing.T) {
	_, flags := folders(t, strings.Replace(goodConfig, "config uplink 'mesh'\n",
		"config uplink 'mesh'\n\toption location 'Vienna'\n", 1))
	code, _, stderr := run(append([]string{"config", "check"}, flags...)...)
	if code != exitFailed || !strings.Contains(stderr, `"location"`) || !strings.Contains(stderr, "protocol wgkex") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if code, _, stderr := run(append([]string{"key", "show", "--make"}, flags...)...); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestRunGroup(t *testing.T) {
	dir, flags := folders(t, goodConfig)
	code, _, stderr := run(append([]string{"run", "--group", "no-such-group"}, flags...)...)
	if code != exitFailed || !strings.Contains(stderr, `there is no group "no-such-group" in /etc/group`) {
		t.Errorf("code %d, %q", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "run")); !os.IsNotExist(err) {
		t.Errorf("it went on: %v", err)
	}
}

// A private key that all users can read is a warning, in the configuration and in a file of its own.
func TestExposedKey(t *testing.T) {
	key := "\toption private_key 'QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA='\n\n"
	dir, flags := folders(t, strings.Replace(goodConfig, "\n\n", "\n"+key, 1))
	file := filepath.Join(dir, "own.key")
	if err := os.WriteFile(file, []byte("QIkMRPAxJhZqMQmyAg8WKASJEVMXsMWaRhpuWZfNYmA=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(exposed string) {
		t.Helper()
		code, _, stderr := run(append([]string{"config", "check"}, flags...)...)
		want := ""
		if exposed != "" {
			want = "warning: all users can read the private key in " + exposed + ": chmod o= " + exposed + "\n"
		}
		if code != exitOK || stderr != want {
			t.Errorf("exit code %d, %q, want %q", code, stderr, want)
		}
	}
	mode := func(path string, m os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "wguplink")
	check("")
	mode(config, 0o644)
	check(config)
	text := strings.Replace(goodConfig, "\n\n", "\n\toption key_file '"+file+"'\n\n", 1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	check("") // no key is in it
	mode(file, 0o604)
	check(file)
}
