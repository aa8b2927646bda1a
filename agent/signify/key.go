// Package signify reads keys and signatures in the format of OpenBSD's signify(1), which OpenWrt's usign shares:
// Ed25519 (RFC 8032) with a number for each key, in base64. A Parker network signs the configurations of its nodes with
// it.
package signify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// PublicKey is the public half of a key. The zero PublicKey is none.
type PublicKey struct {
	// Number tells keys apart; it is random and says nothing about the key.
	Number [8]byte
	// Public is the Ed25519 key (RFC 8032).
	Public [32]byte
}

// The layout of keys and signatures, as signify(1) has it: the name of the algorithm, the number of the key, and the
// key or the signature itself.
const (
	algorithm  = "Ed"
	publicSize = len(algorithm) + 8 + 32      // bytes of a public key
	secretSize = len(algorithm) + 30 + 8 + 64 // bytes of a secret key, with its checksum and salt
)

// ParsePublicKey reads a public key of signify or usign: the line in base64 alone, or the file with its comment above
// that line. The error does not quote the text, since it could be the secret key.
func ParsePublicKey(s string) (PublicKey, error) {
	const want = "want the line of a signify public key, 56 characters"
	var k PublicKey
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "untrusted comment:") {
		_, s, _ = strings.Cut(s, "\n")
		s = strings.TrimSpace(s)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	switch {
	case s == "":
		return k, errors.New("no key; " + want)
	case err != nil || strings.ContainsAny(s, "\r\n"):
		return k, errors.New("not in base64; " + want)
	case len(b) == secretSize && strings.HasPrefix(string(b), algorithm):
		return k, errors.New("this is the secret key, which only the server may have; " + want)
	case len(b) != publicSize:
		return k, fmt.Errorf("%d characters; %s", len(s), want)
	case string(b[:2]) != algorithm:
		return k, fmt.Errorf("algorithm %q, only %q (Ed25519) is known; %s", b[:2], algorithm, want)
	}
	copy(k.Number[:], b[2:10])
	copy(k.Public[:], b[10:])
	if k.Public == [32]byte{} {
		return PublicKey{}, errors.New("a key of zeros; " + want)
	}
	return k, nil
}

// String gives the line that ParsePublicKey reads.
func (k PublicKey) String() string {
	b := append([]byte(algorithm), k.Number[:]...)
	return base64.StdEncoding.EncodeToString(append(b, k.Public[:]...))
}
