//go:build !nobroker

package doctor

import (
	"crypto/tls"
	"errors"
	"strings"
)

// isCertificate says that somebody answered, but not with a certificate that we accept. The text is that of package broker
// for a pin.
func isCertificate(err error) bool {
	var bad *tls.CertificateVerificationError
	return errors.As(err, &bad) || strings.Contains(err.Error(), "pins matches")
}
