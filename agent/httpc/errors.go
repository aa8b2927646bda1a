package httpc

import (
	"fmt"
	"time"

	"wguplink/agent/printable"
)

// ConnectError says that the server could not be spoken to at all: no address, no connection, or no TLS. A second
// request to the same server at this moment would meet the same fate.
type ConnectError struct{ Err error }

func (e *ConnectError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// PanicError is a panic of the library that read what the server sent, as crypto/x509 before Go 1.24.8 has it for a
// chain with a DSA key (CVE-2025-58188).
type PanicError struct{ Value any }

func (e *PanicError) Error() string {
	return "what the server sent cannot be read (panic: " + printable.Text(fmt.Sprint(e.Value), 160) + ")"
}

// BrokenOffError says that the connection ended within the body.
type BrokenOffError struct {
	Got int // bytes of the body that came
	Err error
}

func (e *BrokenOffError) Error() string {
	return fmt.Sprintf("the answer broke off after %d bytes: %v", e.Got, e.Err)
}

// Unwrap gives the cause.
func (e *BrokenOffError) Unwrap() error { return e.Err }

// NotHTTPError says that what came is no HTTP.
type NotHTTPError struct{ Line string }

func (e *NotHTTPError) Error() string { return fmt.Sprintf("malformed HTTP response %q", e.Line) }

// NotTLSError says that the server answered the TLS handshake with something else.
type NotTLSError struct{ Err error }

func (e *NotTLSError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NotTLSError) Unwrap() error { return e.Err }

// Reason is why a certificate is not accepted.
type Reason int

// The reasons. Dates: the certificate is not valid at the time that our clock says. Authority: it is signed by none
// that is trusted. Name: it is for another host. Pin: no key in its chain has a pin.
const (
	Other Reason = iota
	Dates
	Authority
	Name
	Pin
)

// CertificateError says that a server answered, but not with a certificate that is accepted. Its text does not depend
// on the present time, so that the same fault has the same text at each try.
type CertificateError struct {
	Reason Reason
	// NotBefore and NotAfter are those of the certificate; set with the reason Dates.
	NotBefore, NotAfter time.Time
	Err                 error
}

func (e *CertificateError) Error() string {
	if e.Reason == Dates {
		return fmt.Sprintf("certificate has expired or is not yet valid: it is valid from %s to %s",
			e.NotBefore.UTC().Format(time.RFC3339), e.NotAfter.UTC().Format(time.RFC3339))
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *CertificateError) Unwrap() error { return e.Err }
