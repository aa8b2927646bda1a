//go:build !nobroker

package signify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"

	"wguplink/agent/printable"
)

// ErrNotSigned says that an answer has no line that could be a signature.
var ErrNotSigned = errors.New("the answer is not signed")

const (
	signatureSize = len(algorithm) + 8 + ed25519.SignatureSize // bytes
	signatureLine = (signatureSize + 2) / 3 * 4                // characters of base64
)

// Open gives the signed text of a response, its newline included: all but the last line, which is the signature, with
// or without a newline of its own. Nothing of the text is looked at before the signature has been found good. The key's
// number is compared as well, as signify does and usign does not.
func (k PublicKey) Open(response []byte) ([]byte, error) {
	text, line := response, []byte(nil)
	if i := bytes.LastIndexByte(bytes.TrimSuffix(response, []byte("\n")), '\n'); i >= 0 {
		text, line = response[:i+1], bytes.TrimSuffix(response[i+1:], []byte("\n"))
	} else {
		return nil, fmt.Errorf("%w: it has one line only, which starts with %q", ErrNotSigned,
			printable.Text(string(response), 60))
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(string(line))
	switch {
	case len(line) != signatureLine:
		return nil, fmt.Errorf("%w: the last line has %d characters, a signature has %d; was it cut off?", ErrNotSigned,
			len(line), signatureLine)
	case err != nil || len(sig) != signatureSize:
		return nil, fmt.Errorf("%w: the last line is not in base64, it starts with %q", ErrNotSigned,
			printable.Text(string(line), 60))
	case string(sig[:2]) != algorithm:
		return nil, fmt.Errorf("the signature is of algorithm %q, only %q (Ed25519) is known",
			printable.Text(string(sig[:2]), 2), algorithm)
	case !bytes.Equal(sig[2:10], k.Number[:]):
		return nil, fmt.Errorf("signed by key %x, configured is %x: is option config_pubkey the key of this network?",
			sig[2:10], k.Number)
	case !ed25519.Verify(k.Public[:], text, sig[10:]):
		return nil, fmt.Errorf("the signature is not that of key %x over this text: forged, or changed on the way",
			k.Number)
	}
	return text, nil
}
