package parker

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"wguplink/peerselector"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	check(t, err)
	return b
}

func recordedKey(t *testing.T) SecretKey {
	t.Helper()
	k, err := ParseSecretKey(read(t, "parker.sec"))
	check(t, err)
	return k
}

// Files of the recorded key pair are read, and written the same.
func TestKeyFiles(t *testing.T) {
	k := recordedKey(t)
	if got := k.File("signify public key secret key"); got != string(read(t, "parker.sec")) {
		t.Errorf("secret key file %q", got)
	}
	if got := k.Public().File("signify public key public key"); got != string(read(t, "parker.pub")) {
		t.Errorf("public key file %q", got)
	}
	pub, err := ParsePublicKey(read(t, "parker.pub"))
	check(t, err)
	if pub.String() != k.Public().String() {
		t.Errorf("public key %v, want %v", pub, k.Public())
	}
	fresh, err := GenerateKey()
	check(t, err)
	again, err := ParseSecretKey([]byte(fresh.File("x")))
	check(t, err)
	if fresh.File("x") != again.File("x") {
		t.Error("a new key is not read as it was written")
	}
	line := []byte(strings.Split(k.File("x"), "\n")[1])
	for i, c := range map[int]byte{1: 'x', 4: 'x', 10: '9', 34: 'B', 60: 'x', 139: '!'} {
		bad := bytes.Clone(line)
		bad[i] = c
		if _, err := ParseSecretKey(bad); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
	for _, bad := range []string{"", "RWQ=", pub.String()[:50], "x" + pub.String()[1:]} {
		if _, err := ParsePublicKey([]byte(bad)); err == nil {
			t.Errorf("accepted the public key %q", bad)
		}
	}
}

// The recorded answers verify, the spoilt ones do not.
func TestVerify(t *testing.T) {
	pub := recordedKey(t).Public()
	files, err := os.ReadDir("testdata")
	check(t, err)
	seen := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "parker.") {
			continue
		}
		seen++
		b := read(t, f.Name())
		i := bytes.LastIndexByte(b, '\n') + 1
		err := pub.Verify(b[:i], string(b[i:]))
		if good := strings.HasPrefix(f.Name(), "response-"); good != (err == nil) {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
	if seen != 9 {
		t.Errorf("%d recorded answers", seen)
	}
}

const recordedNonce = "0123456789abcdef0123456789abcdef"

var recordedTime = time.Unix(1795170747, 0)

func mustKey(t *testing.T, s string) (k peerselector.Key) {
	t.Helper()
	check(t, k.UnmarshalText([]byte(s)))
	return k
}

func ask(t *testing.T, s *Server, raw string) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", s.Path()+"?"+raw, nil))
	b, err := io.ReadAll(w.Body)
	check(t, err)
	return w.Code, b
}

// params are a node's usual query.
func params(key peerselector.Key, nonce string) string {
	return "pubkey=" + url.QueryEscape(key.String()) + "&nonce=" + nonce + "&v6mtu=1500&version=2024.1"
}

// The recorded answers, byte for byte with their signatures.
func TestReplay(t *testing.T) {
	ctx := testContext(t)
	c1 := Concentrator{1, mustKey(t, "oSza7z3KlA9Ft+g61Ix8BsEq6oWBc1MP0ctvXhoU6Xo="), "192.0.2.1:10001",
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:bf7:381::1")}
	c2 := Concentrator{2, mustKey(t, "XjwaieDeh0juVAndkNHHDebreMYuuCTQ+oEy91bX5nI="), "c2.example.org:10002",
		netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:bf7:381::2")}
	w1, w2 := c1, c2
	w1.Endpoint, w1.Address6 = "127.0.0.1:40001", netip.MustParseAddr("fe80::1")
	w2.Endpoint, w2.Address6 = "127.0.0.2:40002", netip.MustParseAddr("fe80::2")
	for _, x := range []struct {
		dialect       Dialect
		file          string
		keepalive, id string
		all           []Concentrator
	}{
		{Brunswick, "response-ffbs", "15", "5", []Concentrator{c1, c2}},
		{Wgkex, "response-wgkex-parker", "25", "1", []Concentrator{w1, w2}},
	} {
		t.Run(x.dialect.String(), func(t *testing.T) {
			s, err := New(Options{
				Store: fileStore(t), Key: recordedKey(t), Dialect: x.dialect,
				Now: func() time.Time { return recordedTime },
				Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
					if host != "c2.example.org" {
						t.Errorf("asked for %q", host)
					}
					return []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}, nil
				},
			})
			check(t, err)
			n := s.Network()
			check(t, n.Seed(ctx))
			check(t, n.SetDefault(ctx, "wg_keepalive", x.keepalive))
			check(t, n.SetConcentrators(ctx, x.all))
			check(t, s.o.Store.Put(ctx, map[string]string{keyNextID: x.id}))
			code, body := ask(t, s, params(c1.PubKey, recordedNonce))
			if want := read(t, x.file); code != 200 || !bytes.Equal(body, want) {
				t.Errorf("%d, got\n%s\nwant\n%s", code, body, want)
			}
		})
	}
}
