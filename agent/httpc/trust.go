//go:build !nobroker

package httpc

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// PinOnly as Trust.CAFile stands for "no authority": the pin of the server's own key is the only check.
const PinOnly = "none"

// maxCAFile is in bytes; Mozilla's whole collection has 220 kB.
const maxCAFile = 1 << 20

// Trust says which certificates are good.
type Trust struct {
	// CAFile is a PEM file with the only authorities to trust; "" means the system's, PinOnly none at all. It is read
	// for each connection, so that a new file needs no restart.
	CAFile string
	// Pins are SHA-256 sums of SubjectPublicKeyInfo. When there are any, then in addition to the usual checks one
	// certificate of the verified chain must match. With PinOnly it must be the server's own certificate, and its name
	// and dates do not count; without pins nothing is trusted then.
	Pins [][32]byte
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// shake makes a TLS connection out of a plain one. The handshake runs in this goroutine, and so does the check of the
// certificates. A panic in either becomes an error. On failure the plain connection is left open.
func (t Trust) shake(ctx context.Context, plain net.Conn, host string) (conn net.Conn, err error) {
	defer contain(&err)
	cfg, err := t.config(host)
	if err != nil {
		return nil, err
	}
	c := tls.Client(plain, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, classify(err)
	}
	return c, nil
}

func (t Trust) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, Time: t.Now}
	switch t.CAFile {
	case "":
	case PinOnly:
		cfg.InsecureSkipVerify = true // checkPins is the check
	default:
		pool, err := readCA(t.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	if len(t.Pins) > 0 || t.CAFile == PinOnly {
		cfg.VerifyConnection = t.checkPins
	}
	return cfg, nil
}

func readCA(name string) (*x509.CertPool, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("broker authority: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCAFile))
	if err != nil {
		return nil, fmt.Errorf("broker authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("broker authority: %s holds no PEM certificate", name)
	}
	return pool, nil
}

// checkPins wants one certificate of a verified chain among the pins. Without verification (PinOnly) only the leaf
// counts: its key was used in the handshake, while the other certificates in the list may be copies.
func (t Trust) checkPins(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return &CertificateError{Reason: Pin, Err: errors.New("the broker sent no certificate")}
	}
	leaf := cs.PeerCertificates[0]
	chains := cs.VerifiedChains
	if t.CAFile == PinOnly {
		chains = [][]*x509.Certificate{{leaf}}
	}
	for _, chain := range chains {
		for _, cert := range chain {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			for _, pin := range t.Pins {
				if sum == pin {
					return nil
				}
			}
		}
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return &CertificateError{Reason: Pin,
		Err: fmt.Errorf("none of the %d pins matches; the broker's own key has the SHA-256 %s (base64) = %x",
			len(t.Pins), base64.StdEncoding.EncodeToString(sum[:]), sum)}
}

// classify gives the failure of a handshake the type that says what it is.
func classify(err error) error {
	var done *CertificateError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.As(err, &done):
		return err
	case errors.As(err, &record):
		return &NotTLSError{err}
	case !errors.As(err, &verify):
		return err
	}
	e := &CertificateError{Err: err}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var roots x509.SystemRootsError
	var name x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		e.Reason, e.NotBefore, e.NotAfter = Dates, invalid.Cert.NotBefore, invalid.Cert.NotAfter
	case errors.As(err, &unknown), errors.As(err, &roots):
		e.Reason = Authority
	case errors.As(err, &name):
		e.Reason = Name
	}
	return e
}
