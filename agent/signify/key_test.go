package signify

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode"
)

const (
	signifyLine  = "RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7"
	signifyTitle = "untrusted comment: signify public key\n"
)

func TestParsePublicKey(t *testing.T) {
	for _, s := range []string{
		signifyLine, signifyLine + "\n", " \t" + signifyLine + "\r\n", signifyTitle + signifyLine,
		signifyTitle + signifyLine + "\n",
		strings.ReplaceAll(signifyTitle+signifyLine+"\n", "\n", "\r\n"), "untrusted comment:\n" + signifyLine,
	} {
		k, err := ParsePublicKey(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if want := [8]byte{0x69, 0xf0, 0x48, 0x47, 0xcc, 0x55, 0x37, 0x3b}; k.Number != want || k.Public[0] != 0x23 ||
			k.Public[31] != 0xfb {
			t.Errorf("%q: got %x %x", s, k.Number, k.Public)
		}
		if k.String() != signifyLine {
			t.Errorf("%q: written as %s", s, k)
		}
	}
}

func TestParsePublicKeyBad(t *testing.T) {
	encode := func(algorithm string, n int, fill byte) string {
		return base64.StdEncoding.EncodeToString([]byte(algorithm + strings.Repeat(string(fill), n)))
	}
	secret := encode("Ed", 102, 'k')
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "no key"},
		{"spaces", " \n", "no key"},
		{"comment alone", signifyTitle, "no key"},
		{"comment without a line", strings.TrimSpace(signifyTitle), "no key"},
		{"comment twice", signifyTitle + signifyTitle + signifyLine, "not in base64"},
		{"two keys", signifyLine + "\n" + signifyLine, "not in base64"},
		{"broken line", signifyLine[:28] + "\n" + signifyLine[28:], "not in base64"},
		{"text", "hello \x1b[31m", "not in base64"},
		{"not canonical", encode("Ed", 39, 'k')[:54] + "d=", "not in base64"},
		{"WireGuard's", "XjwaieDeh0juVAndkNHHDebreMYuuCTQ+oEy91bX5nI=", "44 characters"},
		{"a byte less", encode("Ed", 39, 'k'), "56 characters"},
		{"a byte more", encode("Ed", 41, 'k'), "60 characters"},
		{"long", strings.Repeat("A", 1<<20), "1048576 characters"},
		{"other algorithm", encode("\x1bX", 40, 'k'), `algorithm "\x1bX", only "Ed" (Ed25519) is known`},
		{"secret key", secret, "this is the secret key, which only the server may have"},
		{"zeros", encode("Ed\x01", 39, 0), "a key of zeros"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParsePublicKey(tt.text)
			if err == nil || k != (PublicKey{}) {
				t.Fatalf("got %v, %v", k, err)
			}
			if !strings.Contains(err.Error(), tt.want) ||
				!strings.Contains(err.Error(), "want the line of a signify public key, 56 characters") {
				t.Error(err)
			}
			if strings.Contains(err.Error(), secret[:20]) ||
				strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q", err)
			}
		})
	}
}
