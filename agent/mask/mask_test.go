package mask

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

const (
	secret = "QLV4yAzpYiCwGWmJ0Y3uPTmQ7TvCsgJ/Q0pTkD+1hXk="
	public = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="
)

// A secret that is known is nowhere, in no spelling.
func TestKnownSecrets(t *testing.T) {
	var m Masker
	m.Secret(secret, "correct horse", "näh!geheim", "abc")
	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		secret, strings.TrimSuffix(secret, "="), base64.URLEncoding.EncodeToString(raw), hex.EncodeToString(raw),
		strings.ToUpper(hex.EncodeToString(raw)), url.QueryEscape(secret), "correct horse", "correct+horse",
		"correct%20horse",
		url.QueryEscape("näh!geheim"),
	} {
		got := m.Text("before " + form + " after, x" + form + "x\n")
		if strings.Contains(got, form) || !strings.Contains(got, Blot) || !strings.HasPrefix(got, "before ") {
			t.Errorf("%q in %q", form, got)
		}
	}
	if got := m.Text("abcdef abc"); got != "abcdef abc" {
		t.Errorf("a short secret spoils words: %q", got)
	}
}

// What is not known to be a secret is masked by what it looks like, and what is public is shown.
func TestShapes(t *testing.T) {
	var m Masker
	m.Public(public)
	hexed := strings.Repeat("0123456789abcdef", 4)
	for in, want := range map[string]string{
		"a key " + secret + ".":                              "a key ***.",
		"peer " + public + " is known":                       "peer " + public + " is known",
		"private_key='" + public + "'":                       "private_key='***'",
		"key=" + secret:                                      "key=***",
		"seed " + hexed:                                      "seed ***",
		"https://user:pass@broker.example.org/x":             "https://***@broker.example.org/x",
		"https://user:p@ss/w@broker.example.org":             "https://***@broker.example.org",
		"get https://b.example.org/api?token=abc&x=y failed": "get https://b.example.org/api?*** failed",
		"https://b.example.org/api/v2/wg/key/exchange: 400":  "https://b.example.org/api/v2/wg/key/exchange: 400",
		"\toption private_key 'abc def'":                     "\toption private_key '***'",
		"\toption preshared_key abcdefgh":                    "\toption preshared_key ***",
		"wireless.radio0.key='my wlan'":                      "wireless.radio0.key='***'",
		`{"password": "correct horse", "mtu": 1420}`:         `{"password": "***", "mtu": 1420}`,
		"password=abc level=info":                            "password=*** level=info",
		"Authorization: Basic dXNlcjpwYXNz":                  "Authorization: ***",
		"uplink mesh: wguplink.mesh.private_key: malformed": "uplink mesh: " +
			"wguplink.mesh.private_key: malformed",
		"the private key is stored in the file /etc/parker/wg-privkey": "the private key is stored in the file " +
			"/etc/parker/wg-privkey",
		"wguplink key show prints the public key": "wguplink key show prints the public key",
		"wpa_psk: Sommer2024":                     "wpa_psk: ***",
		"fe80::2a6:8fff:fe21:5465 dev wg_mesh proto 119 metric 1024": "fe80::2a6:8fff:fe21:5465 dev wg_mesh " +
			"proto 119 metric 1024",
		"connected gateway=gw1 endpoint=192.0.2.1:51820 backend=kernel\n": "connected gateway=gw1 " +
			"endpoint=192.0.2.1:51820 backend=kernel\n",
	} {
		if got := m.Text(in); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
	m.Secret(public) // after it was called public
	if got := m.Text(public); got != Blot {
		t.Errorf("a secret that was called public: %s", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"private_key": true, "key": true, "key1": true, "key5": false, "preshared_key": true, "sae_password": true,
		"auth_secret": true, "PSK": true,
		"public_key": false, "key_file": false, "key_import": false, "mtu": false, "keepalive": false,
		"wpa_passphrase": true, "broker_token": true,
	} {
		if Names(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("private_key='", "x://@?=\"'")
	f.Fuzz(func(t *testing.T, before, after string) {
		var m Masker
		m.Secret(secret)
		if got := m.Text(before + secret + after); strings.Contains(got, secret) {
			t.Errorf("%q", got)
		}
	})
}
