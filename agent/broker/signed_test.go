//go:build !nobroker

package broker

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"wguplink/agent/signify"
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

func (s signer) key() signify.PublicKey {
	return signify.PublicKey{Number: s.number, Public: [32]byte(s.private.Public().(ed25519.PublicKey))}
}

// sign gives the text with the signature's line below, without a newline at its end.
func (s signer) sign(text string) string {
	b := append([]byte("Ed"), s.number[:]...)
	return text + base64.StdEncoding.EncodeToString(append(b, ed25519.Sign(s.private, []byte(text))...))
}

func testfile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "signify", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func recordedKey(t testing.TB) signify.PublicKey {
	t.Helper()
	k, err := signify.ParsePublicKey(string(testfile(t, "parker.pub")))
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
