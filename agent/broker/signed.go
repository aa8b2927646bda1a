//go:build !nobroker

package broker

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
)

// errNotSigned says that an answer has no line that could be a signature.
var errNotSigned = errors.New("the answer is not signed")

const (
	signifySignature = len(signifyAlgorithm) + 8 + ed25519.SignatureSize // bytes
	signatureLine    = (signifySignature + 2) / 3 * 4                    // characters of base64
)

// open gives the signed text of a response, its newline included: all but the last line, which is the signature, with or
// without a newline of its own. Nothing of the text is looked at before the signature has been found good. The key's number
// is compared as well, as signify does and usign does not.
func (k SigningKey) open(response []byte) ([]byte, error) {
	text, line := response, []byte(nil)
	if i := bytes.LastIndexByte(bytes.TrimSuffix(response, []byte("\n")), '\n'); i >= 0 {
		text, line = response[:i+1], bytes.TrimSuffix(response[i+1:], []byte("\n"))
	} else {
		return nil, fmt.Errorf("%w: it has one line only, which starts with %q", errNotSigned, printable(string(response), 60))
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(string(line))
	switch {
	case len(line) != signatureLine:
		return nil, fmt.Errorf("%w: the last line has %d characters, a signature has %d; was it cut off?", errNotSigned, len(line), signatureLine)
	case err != nil || len(sig) != signifySignature:
		return nil, fmt.Errorf("%w: the last line is not in base64, it starts with %q", errNotSigned, printable(string(line), 60))
	case string(sig[:2]) != signifyAlgorithm:
		return nil, fmt.Errorf("the signature is of algorithm %q, only %q (Ed25519) is known", printable(string(sig[:2]), 2), signifyAlgorithm)
	case !bytes.Equal(sig[2:10], k.Number[:]):
		return nil, fmt.Errorf("signed by key %x, configured is %x: is option config_pubkey the key of this network?", sig[2:10], k.Number)
	case !ed25519.Verify(k.Public[:], text, sig[10:]):
		return nil, fmt.Errorf("the signature is not that of key %x over this text: forged, or changed on the way", k.Number)
	}
	return text, nil
}
