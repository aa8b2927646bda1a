//go:build !nobroker

package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/status"
)

// planted are secrets of all kinds, each in a place of its own.
type planted struct {
	t    *testing.T
	dir  string
	all  map[string]string // by where
	keys map[string]wgtypes.Key
}

func (p *planted) key(where string) string {
	k, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		p.t.Fatal(err)
	}
	p.all[where], p.keys[where] = k.String(), k
	return k.String()
}

func (p *planted) word(where, secret string) string {
	p.all[where] = secret
	return secret
}

func (p *planted) write(name, format string, args ...any) {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o700); err != nil {
		p.t.Fatal(err)
	}
}

// check looks for every secret in every spelling.
func (p *planted) check(report string) {
	p.t.Helper()
	low := strings.ToLower(report)
	for where, s := range p.all {
		forms := []string{s}
		if k, ok := p.keys[where]; ok {
			forms = append(forms, strings.TrimSuffix(s, "="), base64.URLEncoding.EncodeToString(k[:]),
				hex.EncodeToString(k[:]), fmt.Sprint(k[:8])[1:20])
		}
		for _, f := range forms {
			if strings.Contains(low, strings.ToLower(f)) {
				i := strings.Index(low, strings.ToLower(f))
				p.t.Errorf("the secret of %s is in the report: …%s…", where,
					report[max(0, i-80):min(len(report), i+80)])
			}
		}
	}
}

// plant makes a router's files with secrets in all of them.
func plant(t *testing.T) (p *planted, flags []string) {
	p = &planted{t: t, all: map[string]string{}, keys: map[string]wgtypes.Key{}}
	p.dir, flags = folders(t, "")
	keyFile := filepath.Join(p.dir, "secret.key")
	p.write("wguplink", `config uplink 'mesh'
	option protocol 'wgkex'
	option domain 'ffxx_city'
	option vxlan_id '7'
	option private_key '%s'
	option private_kee '%s'
	option pasword '%s'
	option node_nmae '%s'
	list broker 'https://operator:%s@broker.example.org/%s/?token=%s'
	list key_import 'old.vpn.key'

config uplink 'filed'
	option interface 'wg2'
	option vxlan_interface 'vx2'
	option vxlan_id '8'
	option key_file '%s'

config gateway 'gw1'
	option uplink 'mesh'
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	list endpoint '192.0.2.1:51820'
	option link_address 'fe80::1'
	option preshared_key '%s'
`, p.key("wguplink, committed"), p.key("a misspelt option"), p.word("a misspelt password", "ganz geheim 1"), p.word("any misspelt option", "unknown-word"),
		p.word("password of the broker", "br0ker-pw"), p.word("token on the broker's path", "t0k3n-on-the-path"),
		p.word("token in the broker's query", "querytoken77"),
		keyFile, p.key("preshared, of a gateway"))
	p.write("staged/wguplink", "wguplink.mesh.private_key='%s'\n", p.key("wguplink, staged"))
	p.write("secret.key", "%s\n", p.key("key file"))
	p.write("network", `config interface 'wg_mesh'
	option proto 'wireguard'
	option private_key '%s'

config wireguard_wg_mesh
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	option preshared_key '%s'

config interface 'wan'
	option proto 'pppoe'
	option username 'u'
	option password '%s'
`, p.key("network.wg_mesh"), p.key("preshared, of netifd"), p.word("PPPoE", "pppoe-pass"))
	p.write("wireguard", "config wireguard 'mesh_vpn'\n\toption private_key '%s'\n", p.key("wireguard.mesh_vpn"))
	fastd := p.key("fastd, as base64")
	raw, err := base64.StdEncoding.DecodeString(fastd)
	if err != nil {
		t.Fatal(err)
	}
	p.write("fastd", "config fastd 'mesh_vpn'\n\toption secret '%s'\n", p.word("fastd", hex.EncodeToString(raw)))
	p.write("old", "config vpn 'vpn'\n\toption key '%s'\n", p.key("key_import"))
	p.write("wireless", `config wifi-iface 'client'
	option ssid 'mein netz'
	option key '%s'
	option sae_password '%s'

config wifi-iface 'old'
	option encryption 'wep'
	option key1 '%s'
	option auth_secret '%s'
`, p.word("WLAN", "Kaffee und Kuchen"), p.word("SAE", "sae-word"), p.word("WEP", "abcde"), p.word("RADIUS", "radius!secret"))
	return p, flags
}

// stubs puts programs of our own in the place of the system's. They print each secret.
func (p *planted) stubs() {
	var route, log strings.Builder
	for _, s := range p.all {
		fmt.Fprintf(&route, "default via 192.0.2.9 dev wan note %s\n", s)
		fmt.Fprintf(&log, "wguplink[1]: something with %s in it\n", s)
	}
	stranger := p.key("a key in the log that stands nowhere else")
	for _, l := range []string{
		"wguplink[1]: private_key=" + stranger, "wguplink[1]: password=" +
			p.word("a password in the log", "0nly-in-the-log"),
		"wguplink[1]: get https://me:" + p.word("a URL in the log", "l0gged-pw") + "@x.example.org/?k=" +
			p.word("a query in the log", "l0gged-query"),
		"wguplink[1]: hook says {\"psk\": \"" + p.word("JSON in the log", "json psk 9") + "\"}",
		"dropbear[2]: password for root is " + p.word("another program's line", "r00tpw"),
	} {
		log.WriteString(l + "\n")
	}
	for name, says := range map[string]string{"ip": route.String(), "logread": log.String()} {
		p.write("said-"+name, "%s", says)
		p.write("bin/"+name, "#!/bin/sh\ncat '%s'\n", filepath.Join(p.dir, "said-"+name))
	}
	p.t.Setenv("PATH", filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"))
}

// A report has all its parts. It has none of the machine's secrets, although several programs print them.
func TestBugreport(t *testing.T) {
	p, flags := plant(t)
	p.stubs()
	s := status.Snapshot{Uplink: "mesh", State: status.Connecting, Interface: "wg_mesh", Cause: status.BrokerRefused,
		Reason: "https://operator:br0ker-pw@broker.example.org/t0k3n-on-the-path: no " + p.all["network.wg_mesh"],
		Hooks: []status.Hook{{Name: "10-x", Event: "up", Exit: "1",
			Last: "wpa_psk=" + p.word("a hook's last line", "h00ked-psk")}}}
	agentOf(t, p.dir, s)
	code, stdout, stderr := run(append([]string{"bugreport"}, flags...)...)
	if code != exitOK || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	p.check(stdout + stderr)
	for _, want := range []string{
		"wguplink bugreport, ", "wguplink unknown (variant ", "== configuration " + p.dir, "config uplink 'mesh'",
		"\toption private_key '***'", "\toption node_nmae '***'",
		"\toption vxlan_id '7'", "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=", "== devices", "== rules and routes",
		"# ip -4 rule", "default via 192.0.2.9 dev wan",
		"== doctor", "config     FAIL", "== log", "# logread", "wguplink[1]: something with *** in it",
		"broker.example.org",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "dropbear") || strings.Contains(stdout, "mein netz") {
		t.Error("what is not ours is in the report")
	}
}

// Without mistakes in the configuration the status and the doctor have more to say, and no more secrets.
func TestBugreportOfAGoodConfiguration(t *testing.T) {
	p, flags := plant(t)
	text, err := os.ReadFile(filepath.Join(p.dir, "wguplink"))
	if err != nil {
		t.Fatal(err)
	}
	var good []string
lines:
	for _, l := range strings.Split(string(text), "\n") {
		for _, bad := range []string{"kee", "pasword", "nmae", "preshared", "broker", "domain"} {
			if strings.Contains(l, bad) {
				continue lines
			}
		}
		good = append(good, strings.Replace(l, "wgkex", "static", 1))
	}
	for where := range p.all { // what is not on the machine any more is no secret of it
		if strings.Contains(where, "misspelt") || strings.Contains(where, "broker") ||
			where == "preshared, of a gateway" {
			delete(p.all, where)
		}
	}
	second := strings.Replace(strings.Join(good, "\n"), "config gateway 'gw1'\n",
		"config gateway 'gw2'\n\toption uplink 'filed'\n"+
			"\toption public_key '/////////////////////////////////////////wA='\n\tlist endpoint "+
			"'192.0.2.2:1'\n\toption "+
			"link_address 'fe80::2'\n\nconfig gateway 'gw1'\n", 1)
	p.write("wguplink", "%s", second)
	p.stubs()
	own := p.keys["wguplink, staged"].PublicKey().String()
	examination = func(_ context.Context, _ options, _ []string, w, _ io.Writer) int {
		fmt.Fprintf(w, "key        pass  %s, from %s\n", own, p.all["key file"])
		return exitOK
	}
	t.Cleanup(func() { examination = examine })
	agentOf(t, p.dir, status.Snapshot{Uplink: "mesh", State: status.Impaired, Interface: "wg_mesh", Cause: status.NoWAN,
		Reason: "no route " + p.all["key file"]})
	code, stdout, stderr := run(append([]string{"bugreport"}, flags...)...)
	p.check(stdout + stderr)
	if code != exitOK || !strings.Contains(stdout, "mesh: impaired for ") || !strings.Contains(stdout, own) ||
		!strings.Contains(stdout, "no_wan: no route ***") ||
		!strings.Contains(stdout, "pass  "+own+", from ***") {
		t.Errorf("exit code %d, want the public key %s in it:\n%s%s", code, own, stdout, stderr)
	}
}

// A file that cannot be read as UCI is named, and not shown.
func TestBugreportOfADamagedFile(t *testing.T) {
	p, flags := plant(t)
	text, err := os.ReadFile(filepath.Join(p.dir, "wguplink"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("wguplink", "%s\nconfig uplink 'mes", text)
	p.stubs()
	code, stdout, stderr := run(append([]string{"bugreport"}, flags...)...)
	p.check(stdout + stderr)
	if code != exitOK || !strings.Contains(stdout, "it cannot be read: ") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// What programs say is taken as far as it goes: also of one that fails, is missing, or does not end.
func TestOutput(t *testing.T) {
	p := &planted{t: t, dir: t.TempDir()}
	p.write("bin/good", "#!/bin/sh\necho \"said $1\"\n")
	p.write("bin/bad", "#!/bin/sh\necho half\nexit 3\n")
	p.write("bin/endless", "#!/bin/sh\nexec sleep 1000\n")
	t.Setenv("PATH", filepath.Join(p.dir, "none")+":"+filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"))
	if out, err := output(context.Background(), "good", "x"); err != nil || string(out) != "said x\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := output(context.Background(), "bad"); err == nil || !strings.Contains(err.Error(), "exit status 3") ||
		string(out) != "half\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := output(context.Background(), "no-such-program"); err == nil ||
		!strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := output(ctx, "endless"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
