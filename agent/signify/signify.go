// Package signify checks signatures of OpenBSD's signify(1), which OpenWrt's usign makes, too.
//
// A public key is one line of base64: "Ed", 8 bytes of key number, 32 bytes of Ed25519. A signature is "Ed", the number of
// the key that made it, 64 bytes (signify.c in OpenBSD's usr.bin/signify, struct pubkey and struct sig).
package signify

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	algorithm = "Ed"
	numberLen = 8
	keyLen    = len(algorithm) + numberLen + ed25519.PublicKeySize
	sigLen    = len(algorithm) + numberLen + ed25519.SignatureSize
)

// PublicKey is a key that signatures are checked against.
type PublicKey struct {
	number [numberLen]byte
	key    [ed25519.PublicKeySize]byte
}

// ParsePublicKey takes the line, without the comment that stands above it in a file.
func ParsePublicKey(line string) (PublicKey, error) {
	raw, err := decode(line, keyLen)
	if err != nil {
		return PublicKey{}, fmt.Errorf("signify public key: %w", err)
	}
	var k PublicKey
	copy(k.number[:], raw[len(algorithm):])
	copy(k.key[:], raw[len(algorithm)+numberLen:])
	return k, nil
}

// Verify checks the line of a signature over exactly that text. The error says which check failed.
func (k PublicKey) Verify(text []byte, line string) error {
	raw, err := decode(line, sigLen)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	number, sig := raw[len(algorithm):len(algorithm)+numberLen], raw[len(algorithm)+numberLen:]
	if string(number) != string(k.number[:]) {
		return fmt.Errorf("signature by key number %x, but the configured key has number %x", number, k.number)
	}
	if !ed25519.Verify(k.key[:], text, sig) {
		return errors.New("signature does not match the text")
	}
	return nil
}

// decode takes strict base64 of exactly n bytes that begin with the algorithm.
func decode(line string, n int) ([]byte, error) {
	// The decoder skips line breaks.
	if len(line) != base64.StdEncoding.EncodedLen(n) || strings.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("%d characters, want one line of %d", len(line), base64.StdEncoding.EncodedLen(n))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || len(raw) != n {
		return nil, errors.New("not base64")
	}
	if string(raw[:len(algorithm)]) != algorithm {
		return nil, fmt.Errorf("algorithm %q, only %q is known", raw[:len(algorithm)], algorithm)
	}
	return raw, nil
}
