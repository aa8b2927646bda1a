package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/slog"
)

const redacted = "[private key]"

// PrivateKey is a WireGuard private key that does not show itself in any printed, logged or encoded form.
type PrivateKey struct {
	// A function, because fmt prints the unexported fields of a struct by reflection, without asking the methods
	// below. Even a pointer it follows, with a verb that does not fit one; of a function it has the address only.
	reveal func() *wgtypes.Key
}

func newPrivateKey(k *wgtypes.Key) PrivateKey {
	return PrivateKey{reveal: func() *wgtypes.Key { return k }}
}

// Reveal gives the key itself, to hand to WireGuard only: it prints in full. It is a pointer all the way to
// there, because Go prints the arguments of functions, but not what they point at, where a program comes to a bad end.
// It may not be changed.
func (k PrivateKey) Reveal() *wgtypes.Key {
	if k.reveal == nil {
		return new(wgtypes.Key)
	}
	return k.reveal()
}

// IsZero tells whether there is no key.
func (k PrivateKey) IsZero() bool { return *k.Reveal() == wgtypes.Key{} }

// Equal tells whether both are the same key.
func (k PrivateKey) Equal(other PrivateKey) bool { return *k.Reveal() == *other.Reveal() }

// String and its companions stand in for the key wherever it is printed, logged or encoded.
func (PrivateKey) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (PrivateKey) GoString() string { return redacted }

// Format implements fmt.Formatter for every verb.
func (PrivateKey) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue implements slog.LogValuer.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (PrivateKey) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// parseKey reads a private key as wg(8) writes it: 44 characters of base64. White space at the end is let pass. The
// error never quotes the text. The three bits that X25519 fixes may be anything: WireGuard sets them itself, and
// secrets of fastd need not have them set.
func parseKey(text string) (wgtypes.Key, error) {
	text = strings.TrimRight(text, " \t\r\n")
	const want = 44
	if text == "" {
		return wgtypes.Key{}, fmt.Errorf("%w: it is empty", ErrMalformed)
	}
	if len(text) != want {
		return wgtypes.Key{}, fmt.Errorf("%w: it has %d characters, not the %d of a base64 key",
			ErrMalformed, len(text), want)
	}
	var key wgtypes.Key
	// Strict, and no line breaks within (which the decoder would skip): one key has one spelling, as in wg(8).
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(key) || strings.ContainsAny(text, "\r\n") {
		return wgtypes.Key{}, fmt.Errorf("%w: it is not 32 bytes in base64", ErrMalformed)
	}
	copy(key[:], raw)
	return nonZero(key)
}

// parseImport reads what other programs keep: a key of WireGuard, or a secret of fastd, 32 bytes as 64 hex digits.
func parseImport(text string) (wgtypes.Key, error) {
	text = strings.TrimRight(text, " \t\r\n")
	if len(text) != 2*wgtypes.KeyLen {
		return parseKey(text)
	}
	var key wgtypes.Key
	if _, err := hex.Decode(key[:], []byte(text)); err != nil {
		return wgtypes.Key{}, fmt.Errorf("%w: it has 64 characters that are not all hex digits", ErrMalformed)
	}
	return nonZero(key)
}

func nonZero(key wgtypes.Key) (wgtypes.Key, error) {
	if key == (wgtypes.Key{}) {
		return wgtypes.Key{}, fmt.Errorf("%w: it is all zeros", ErrMalformed)
	}
	return key, nil
}

// scrub keeps the key out of an error that came from elsewhere, at the price of its chain.
func scrub(err error, key *wgtypes.Key) error {
	text := err.Error()
	clean := strings.NewReplacer(key.String(), redacted, hex.EncodeToString(key[:]), redacted).Replace(text)
	if clean == text {
		return err
	}
	return errors.New(clean)
}
