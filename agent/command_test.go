package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
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
	return dir, []string{"--config", dir, "--staged", filepath.Join(dir, "staged"), "--run", filepath.Join(dir, "run"), "--state=" + filepath.Join(dir, "state")}
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
		{[]string{"wireguard-go"}, exitUsage, "", "one interface name is needed"},
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
		{[]string{"version"}, exitOK, "wguplink unknown (", ""},
		{append([]string{"config", "check"}, flags...), exitOK, "1 uplinks, no problem", ""},
		{append([]string{"key", "show"}, flags...), exitFailed, "", "has no key yet"},
		{append([]string{"key", "show", "other"}, flags...), exitFailed, "", `no uplink "other"`},
		{append([]string{"status"}, flags...), exitStopped, "mesh: stopped", ""},
		{append([]string{"status", "--json", "mesh"}, flags...), exitStopped, `"state": "stopped"`, ""},
	} {
		code, stdout, stderr := run(tt.args...)
		if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
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
	if code, _, stderr := run(append([]string{"run"}, flags...)...); code != exitFailed || !strings.Contains(stderr, "vxlan_id") {
		t.Errorf("run: exit code %d\n%s", code, stderr)
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
		if code != exitFailed || !strings.Contains(stderr, "wguplink.mesh.private_key") || strings.Contains(stdout+stderr, broken) {
			t.Errorf("%q: exit code %d: %s%s", verb, code, stdout, stderr)
		}
	}
}

// TestRunGroup: a group that does not exist ends the program before it does anything. What happens to one that does is for
// package wgpeerselector to test.
// A node whose agent has not run yet: --make does what the agent does first, once.
func TestKeyMake(t *testing.T) {
	dir, flags := folders(t, strings.Replace(goodConfig, "config uplink 'mesh'\n", "config uplink 'mesh'\n\tlist key_import 'old.vpn.key'\n", 1))
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
	_, flags := folders(t, strings.Replace(goodConfig, "config uplink 'mesh'\n", "config uplink 'mesh'\n\toption location 'Vienna'\n", 1))
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
