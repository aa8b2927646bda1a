package parker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Sizes and marks of OpenBSD's signify(1): its files are a comment line and a line of base64.
const (
	algorithm     = "Ed" // Ed25519
	kdf           = "BK" // bcrypt; with zero rounds the secret key is not encrypted
	publicSize    = 2 + 8 + ed25519.PublicKeySize
	signatureSize = 2 + 8 + ed25519.SignatureSize
	secretSize    = 2 + 2 + 4 + 16 + 8 + 8 + ed25519.PrivateKeySize
	commentPrefix = "untrusted comment: "
)

// Number tells keys apart; it is chosen at random when a key is made.
type Number [8]byte

// SecretKey is an unencrypted signify secret key.
type SecretKey struct {
	Number Number
	Key    ed25519.PrivateKey
	salt   [16]byte // for a passphrase that it does not have
}

// PublicKey is a signify public key.
type PublicKey struct {
	Number Number
	Key    ed25519.PublicKey
}

// GenerateKey makes a key pair.
func GenerateKey() (SecretKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	k := SecretKey{Key: key}
	if err == nil {
		_, err = rand.Read(k.Number[:])
	}
	if err == nil {
		_, err = rand.Read(k.salt[:])
	}
	if err != nil {
		return SecretKey{}, fmt.Errorf("signify key: %w", err)
	}
	return k, nil
}

// Public gives the key that verifies.
func (k SecretKey) Public() PublicKey {
	return PublicKey{Number: k.Number, Key: k.Key.Public().(ed25519.PublicKey)}
}

// Sign gives the signature of message as one line of base64, without a newline.
func (k SecretKey) Sign(message []byte) string {
	b := append([]byte(algorithm), k.Number[:]...)
	b = append(b, ed25519.Sign(k.Key, message)...)
	return base64.StdEncoding.EncodeToString(b)
}

// File gives the contents of a secret key file with that comment.
func (k SecretKey) File(comment string) string {
	b := []byte(algorithm + kdf)
	b = append(b, 0, 0, 0, 0) // rounds
	b = append(b, k.salt[:]...)
	sum := sha512.Sum512(k.Key)
	b = append(b, sum[:8]...)
	b = append(b, k.Number[:]...)
	b = append(b, k.Key...)
	return commentPrefix + comment + "\n" + base64.StdEncoding.EncodeToString(b) + "\n"
}

// ParseSecretKey reads a secret key file.
func ParseSecretKey(file []byte) (SecretKey, error) {
	fail := func(err error) (SecretKey, error) { return SecretKey{}, fmt.Errorf("signify secret key: %w", err) }
	b, err := decode(lastLine(file), secretSize)
	if err != nil {
		return fail(err)
	}
	if string(b[2:4]) != kdf {
		return fail(fmt.Errorf("key derivation %q; only %q is known", b[2:4], kdf))
	}
	if rounds := binary.BigEndian.Uint32(b[4:8]); rounds != 0 {
		return fail(errors.New("it is encrypted; make one without a passphrase: signify -G -n"))
	}
	k := SecretKey{Number: Number(b[32:40]), Key: ed25519.PrivateKey(b[40:]), salt: [16]byte(b[8:24])}
	if sum := sha512.Sum512(k.Key); !bytes.Equal(sum[:8], b[24:32]) {
		return fail(errors.New("its checksum is wrong"))
	}
	return k, nil
}

// String gives the key as one line of base64, as nodes are configured with it.
func (k PublicKey) String() string {
	b := append([]byte(algorithm), k.Number[:]...)
	return base64.StdEncoding.EncodeToString(append(b, k.Key...))
}

// File gives the contents of a public key file with that comment.
func (k PublicKey) File(comment string) string {
	return commentPrefix + comment + "\n" + k.String() + "\n"
}

// ParsePublicKey reads a public key file, or its line of base64 alone.
func ParsePublicKey(file []byte) (PublicKey, error) {
	b, err := decode(lastLine(file), publicSize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("signify public key: %w", err)
	}
	return PublicKey{Number: Number(b[2:10]), Key: ed25519.PublicKey(b[10:])}, nil
}

// Verify checks the signature of message, a line of base64.
func (k PublicKey) Verify(message []byte, signature string) error {
	b, err := decode(signature, signatureSize)
	if err != nil {
		return fmt.Errorf("signify signature: %w", err)
	}
	if Number(b[2:10]) != k.Number {
		return fmt.Errorf("signify signature: made by key number %x, not %x", b[2:10], k.Number)
	}
	if !ed25519.Verify(k.Key, message, b[10:]) {
		return errors.New("signify signature: it does not fit the message")
	}
	return nil
}

func lastLine(file []byte) string {
	s := strings.TrimSpace(string(file))
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// decode reads a line of base64 that has the mark of Ed25519 and so many bytes.
func decode(line string, size int) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, err
	}
	if len(b) != size {
		return nil, fmt.Errorf("%d bytes, not %d", len(b), size)
	}
	if string(b[:2]) != algorithm {
		return nil, fmt.Errorf("algorithm %q, not %q", b[:2], algorithm)
	}
	return b, nil
}
