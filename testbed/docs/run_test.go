package docs

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// machine is where commands are run: UCI files and state of its own, and a network namespace without a device.
type machine struct {
	dir      string
	wguplink string
}

// private is a key out of RFC 7748, section 6.1, and public what belongs to it.
var (
	private = []byte{0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
		0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a}
	public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
)

func newMachine(t *testing.T, wguplink, uci string) *machine {
	t.Helper()
	m := &machine{t.TempDir(), wguplink}
	for _, d := range []string{"config", "staged", "run", "state", "init.d", "bin"} {
		if err := os.Mkdir(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write(t, "config/wguplink", uci)
	// As on a router, but for where the files are.
	m.program(t, "bin/wguplink", `exec `+wguplink+` "$@" `+strings.Join(m.places(), " "))
	return m
}

func (m *machine) places() []string {
	at := func(d string) string { return filepath.Join(m.dir, d) }
	return []string{"--config", at("config"), "--staged", at("staged"), "--run", at("run"), "--state", at("state"),
		"--ubus", at("ubus.sock")}
}

func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) program(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// sh runs lines of a document. Services are the machine's own.
func (m *machine) sh(text string) (out string, code int, err error) {
	text = strings.ReplaceAll(text, "/etc/init.d/", filepath.Join(m.dir, "init.d")+"/")
	cmd := exec.Command("unshare", "--net", "sh", "-euc", text)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(m.dir, "bin")+":"+os.Getenv("PATH"))
	b, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); ok {
		err = nil
	}
	return string(b), cmd.ProcessState.ExitCode(), err
}

// withoutKey is a configuration that is right, for a broker that cannot be reached.
const withoutKey = `
config uplink 'mesh'
	option protocol 'wgkex'
	list broker 'https://192.0.2.1'
	option domain 'ffxx_city'
	option vxlan_id '1906606'

config gateway 'gw1'
	option uplink 'mesh'
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	list endpoint '192.0.2.2:51820'
	option link_address 'fe80::2a6:8fff:fe21:5465'
`

// TestRun runs each command of wguplink that a document has, on a node whose agent does not run and that has no WAN:
// the exit codes are those of the README.
func TestRun(t *testing.T) {
	wguplink := program(t)
	// By sub-command. 4: the uplink is stopped. 11: there is no route to a gateway. 1: what it needs is not there.
	codes := map[string]int{
		"config check": 0, "key show": 0, "version": 0, "--version": 0, "help": 0, "bugreport": 0, "down": 0,
		"status": 4, "doctor": 11, "netcheck": 1, "ping": 1, "reconnect": 1, "locations": 1,
	}
	ran := map[string]bool{}
	for _, p := range pages(t) {
		for _, words := range p.commands() {
			if words[0] != "wguplink" || len(words) < 2 {
				continue
			}
			line := strings.Join(words[1:], " ")
			sub := words[1]
			if (sub == "config" || sub == "key") && len(words) > 2 {
				sub += " " + words[2]
			}
			want, ok := codes[strings.TrimRight(sub, ",.")]
			// --watch goes on for ever; what is in capitals or brackets is put in, or may be left out.
			line = optional.ReplaceAllString(strings.ReplaceAll(line, "--watch", ""), "$1")
			line = placeholders.Replace(line)
			if !ok || ran[line] || strings.ContainsAny(line, "…'\"") {
				continue
			}
			ran[line] = true
			if strings.Contains(line, "--help") {
				want = 0
			}
			m := newMachine(t, wguplink, strings.Replace(withoutKey, "\n\n", "\n\toption private_key '"+
				base64.StdEncoding.EncodeToString(private)+"'\n\n", 1))
			out, code, err := m.sh("wguplink " + line)
			if err != nil || code != want || strings.Contains(out, "panic:") {
				t.Errorf("%s: wguplink %s: exit code %d, want %d, %v:\n%s", p.name, line, code, want, err, out)
			}
			if strings.Contains(line, "--json") && !json.Valid([]byte(out)) {
				t.Errorf("%s: wguplink %s: no JSON:\n%s", p.name, line, out)
			}
			if strings.Contains(out, base64.StdEncoding.EncodeToString(private)) {
				t.Errorf("%s: wguplink %s shows the private key", p.name, line)
			}
		}
	}
	for sub := range codes {
		found := false
		for line := range ran {
			found = found || line == sub || strings.HasPrefix(line, sub+" ")
		}
		if !found {
			t.Errorf("no document has wguplink %s", sub)
		}
	}
}

var placeholders = strings.NewReplacer("UPLINK", "mesh", "GATEWAY", "gw1", "gateway", "gw1", "COMMAND", "status",
	"[", "", "]", "")

var optional = regexp.MustCompile(`\[(--[a-z-]+)\]`)

// blockWith is the block of a document that has a text.
func blockWith(t *testing.T, name, text string) string {
	t.Helper()
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if p.name == name && strings.Contains(b.text, text) {
				return b.text
			}
		}
	}
	t.Fatalf("%s has no block with %q", name, text)
	return ""
}

// TestMigration goes the way from plain OpenWrt that docs/migration.md describes: the key goes over, and the old
// interface away.
func TestMigration(t *testing.T) {
	m := newMachine(t, program(t), withoutKey)
	uci := filepath.Join(m.dir, "uci")
	build := exec.Command("go", "build", "-o", uci, "../cmd/uci")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	m.program(t, "bin/uci", fmt.Sprintf(`exec %s -c %[2]s/config -P %[2]s/staged "$@"`, uci, m.dir))
	for _, service := range []string{"network", "wguplink"} {
		m.program(t, "init.d/"+service, `echo "$0 $*" >>`+filepath.Join(m.dir, "services"))
	}
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil || base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()) != public {
		t.Fatalf("%v", err)
	}
	m.write(t, "config/network", "config interface 'lan'\n\toption proto 'static'\n\nconfig interface 'wg_mesh'\n"+
		"\toption proto 'wireguard'\n\toption private_key '"+base64.StdEncoding.EncodeToString(private)+"'\n")

	for _, text := range []string{"uci get network.wg_mesh.private_key", "uci delete network.wg_mesh"} {
		if out, code, err := m.sh(blockWith(t, "docs/migration.md", text)); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v: %s", text, code, err, out)
		}
		out, _, err := m.sh("wguplink key show mesh")
		if err != nil || !strings.Contains(out, public) {
			t.Errorf("after %s the key is %s (%v)", text, out, err)
		}
	}
	network, err := os.ReadFile(filepath.Join(m.dir, "config/network"))
	if err != nil || strings.Contains(string(network), "wg_mesh") || !strings.Contains(string(network), "'lan'") {
		t.Errorf("the network's file is, %v:\n%s", err, network)
	}
	services, err := os.ReadFile(filepath.Join(m.dir, "services"))
	if err != nil || strings.Count(string(services), " reload\n") != 2 {
		t.Errorf("services: %v: %s", err, services)
	}
}

// TestMapRecipe runs what docs/monitoring.md has for meshviewer on an output of Yanic's, in its form
// (output/meshviewer-ffrgb of its version 91a8825).
func TestMapRecipe(t *testing.T) {
	m := newMachine(t, program(t), withoutKey)
	m.write(t, "meshviewer-yanic.json", `{"timestamp": "2026-01-01T00:00:00+0000", "links": [{"type": "vpn"}],
		"nodes": [
		{"node_id": "one", "custom_fields": {"vpn_gateway": "gw1", "vpn_state": "connected"}},
		{"node_id": "two", "custom_fields": {"vpn_state": "connecting", "vpn_reason": "no gateway answers"}},
		{"node_id": "three"}]}`)
	if out, code, err := m.sh(blockWith(t, "docs/monitoring.md", "jq '.nodes")); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	text, err := os.ReadFile(filepath.Join(m.dir, "meshviewer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Links []any
		Nodes []struct {
			ID  string `json:"node_id"`
			VPN string
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if s := fmt.Sprint(got); s != "{[map[type:vpn]] [{one gw1} {two no gateway answers} {three }]}" {
		t.Error(s)
	}
}
