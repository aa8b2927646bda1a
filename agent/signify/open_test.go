//go:build !nobroker

package signify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// signer signs as signify does.
type signer struct {
	number  [8]byte
	private ed25519.PrivateKey
}

func newSigner(seed byte) signer {
	return signer{[8]byte{seed, 1, 2, 3, 4, 5, 6, 7},
		ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (s signer) key() PublicKey {
	return PublicKey{s.number, [32]byte(s.private.Public().(ed25519.PublicKey))}
}

// sign gives the text with the signature's line below, without a newline at its end.
func (s signer) sign(text string) string {
	b := append([]byte("Ed"), s.number[:]...)
	return text + base64.StdEncoding.EncodeToString(append(b, ed25519.Sign(s.private, []byte(text))...))
}

func testfile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func recordedKey(t testing.TB) PublicKey {
	t.Helper()
	k, err := ParsePublicKey(string(testfile(t, "parker.pub")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// checkText wants the text in the error, which must be one printable line of a length that a log can take.
func checkText(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("%q is not in: %s", text, err)
	}
	checkLine(t, err)
}

func checkLine(t *testing.T, err error) {
	t.Helper()
	for _, r := range err.Error() {
		if !unicode.IsPrint(r) {
			t.Errorf("%q in: %q", r, err)
		}
	}
	if n := len(err.Error()); n > 600 {
		t.Errorf("message of %d bytes: %s", n, err)
	}
}

func TestOpenRecorded(t *testing.T) {
	const number = "69f04847cc55373b"
	k := recordedKey(t)
	tried := 0
	for name, want := range map[string]string{
		"response-ffbs":         "",
		"response-wgkex-parker": "",
		"bad-algorithm":         `the signature is of algorithm "Xx", only "Ed" (Ed25519) is known`,
		"bad-flipped-byte": "the signature is not that of key " + number +
			" over this text: forged, or changed on the way",
		"bad-key-number": "signed by key 69f14847cc55373b, configured is " + number +
			": is option config_pubkey the key of this network?",
		"bad-no-newline-signed": "the signature is not that of key " + number,
		"bad-signature":         "the signature is not that of key " + number,
		"bad-truncated-signature": "the answer is not signed: the last line has 60 characters, a signature has 100; " +
			"was it cut off?",
		"bad-unsigned": `the answer is not signed: it has one line only, which starts with "{`,
	} {
		tried++
		response := testfile(t, name)
		for _, end := range []string{"", "\n"} {
			if end != "" && name == "bad-unsigned" {
				continue // it has a newline already
			}
			text, err := k.Open(append(bytes.Clone(response), end...))
			if want != "" {
				checkText(t, err, want)
				if text != nil {
					t.Errorf("%s: %q is given away", name, text)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if i := bytes.LastIndexByte(response, '\n'); !bytes.Equal(text, response[:i+1]) {
				t.Errorf("%s: signed text %q", name, text)
			}
		}
	}
	if files, err := os.ReadDir("testdata"); err != nil || len(files) != tried+1 { // and the key
		t.Errorf("%d files, %d tried, %v", len(files), tried, err)
	}
}

func TestOpen(t *testing.T) {
	s := newSigner(1)
	const text = "{\"a\": 1}\n"
	good := s.sign(text)
	for _, tt := range []struct{ name, response, want string }{
		{"plain", good, ""},
		{"newline at the end", good + "\n", ""},
		{"several lines", s.sign("{\n}\n"), ""},
		{"nothing but a newline", s.sign("\n"), ""},
		{"not text", s.sign("\x00\xff\n"), ""},
		{"empty", "", "not signed: it has one line only"},
		{"newline", "\n", "not signed: it has one line only"},
		{"two newlines", "\n\n", "the last line has 0 characters"},
		{"signature alone", good[len(text):], "not signed: it has one line only"},
		{"two newlines at the end", good + "\n\n", "the last line has 0 characters"},
		{"CRLF at the end", good + "\r\n", "the last line has 101 characters"},
		{"CRLF inside", strings.Replace(good, "\n", "\r\n", 1), "is not that of key"},
		{"space", good + " ", "the last line has 101 characters"},
		{"carriage return in the signature", text + good[len(text):len(text)+50] + "\r" + good[len(text)+51:],
			"the last line is not in base64"},
		{"without padding", strings.TrimSuffix(good, "="), "the last line has 99 characters"},
		{"too long", text + strings.Repeat("A", 100), "the last line is not in base64"},
		{"too short", text + strings.Repeat("A", 98) + "==", "the last line is not in base64"},
		{"loose bits", strings.TrimSuffix(good, good[len(good)-2:]) + "B=", "the last line is not in base64"},
		{"terminal", text + strings.Repeat("\x1b", 100), `not in base64, it starts with "?`},
		{"odd algorithm", text + base64.StdEncoding.EncodeToString(append([]byte("\x1b\n"), make([]byte, 72)...)),
			`of algorithm "? "`},
		{"other key", newSigner(2).sign(text), "signed by key 0201020304050607, configured is 0101020304050607"},
		{"other key, same number", signer{s.number, newSigner(2).private}.sign(text),
			"is not that of key 0101020304050607"},
		{"text before", "x" + good, "is not that of key"},
		{"line before", "\n" + good, "is not that of key"},
		{"portal", "<html>\n<body>\n</html>\n", "not signed: the last line has 7 characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.key().Open([]byte(tt.response))
			if tt.want != "" {
				checkText(t, err, tt.want)
				if got != nil {
					t.Errorf("%q is given away", got)
				}
			} else if want := tt.response[:strings.LastIndex(strings.TrimSuffix(tt.response, "\n"), "\n")+
				1]; err != nil || string(got) != want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestOpenEveryBit: no bit of a response can be changed, but for the last newline.
func TestOpenEveryBit(t *testing.T) {
	s := newSigner(1)
	k := s.key()
	good := []byte(s.sign("{\"a\": 1}\n"))
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := k.Open(b); err == nil {
			t.Errorf("bit %d can be changed: %q", i, b)
		} else {
			checkLine(t, err)
		}
	}
	for i := range good {
		if _, err := k.Open(good[:i]); err == nil {
			t.Errorf("the first %d bytes are enough", i)
		}
	}
}
