//go:build !nobroker

package broker

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
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// maxCAFile is in bytes; Mozilla's whole collection has 220 kB.
const maxCAFile = 1 << 20

// transport is made for one exchange. A longer-lived one would give its own context to the dial function, which ends
// neither with the request nor with its timeout, so that dials could outlive the call. connected turns true when the
// server has been reached, over TLS if that is wanted.
func (s *servers) transport(ctx context.Context) (t *http.Transport, connected *atomic.Bool) {
	connected = new(atomic.Bool)
	note := func(conn net.Conn, err error) (net.Conn, error) {
		if err == nil {
			connected.Store(true)
		}
		return conn, err
	}
	return &http.Transport{
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return note(s.o.Dial(ctx, network, addr))
		},
		DialTLSContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return note(s.dialTLS(ctx, network, addr))
		},
		DisableKeepAlives:      true, // the next request is hours away: no descriptor and no buffer for it
		DisableCompression:     true,
		MaxResponseHeaderBytes: 32 << 10,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
	}, connected
}

func (s *servers) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	cfg, err := s.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	conn, err := s.o.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	t := tls.Client(conn, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, s.explain(err)
	}
	return t, nil
}

func (s *servers) tlsConfig(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, Time: s.o.Now}
	switch s.o.CAFile {
	case "":
	case PinOnly:
		cfg.InsecureSkipVerify = true // New has made sure that there is a pin
	default:
		pool, err := readCA(s.o.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	if len(s.o.Pins) > 0 {
		cfg.VerifyConnection = s.checkPins
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

// checkPins wants one certificate of a verified chain among the pins. Without verification (PinOnly) only the leaf counts:
// its key was used in the handshake, while anybody can copy another certificate into the list that he sends.
func (s *servers) checkPins(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the broker sent no certificate")
	}
	leaf := cs.PeerCertificates[0]
	chains := cs.VerifiedChains
	if s.o.CAFile == PinOnly {
		chains = [][]*x509.Certificate{{leaf}}
	}
	for _, chain := range chains {
		for _, cert := range chain {
			sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
			for _, pin := range s.o.Pins {
				if sum == pin {
					return nil
				}
			}
		}
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return fmt.Errorf("none of the %d pins matches; the broker's own key has the SHA-256 %s (base64) = %x",
		len(s.o.Pins), base64.StdEncoding.EncodeToString(sum[:]), sum)
}

// explain adds the way out to the TLS failures that people meet.
func (s *servers) explain(err error) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; is the clock of this router right? it says %s", shorten(err), s.o.Now().UTC().Format(time.RFC3339))
	case errors.As(err, &unknown) && s.o.CAFile == "":
		return fmt.Errorf("%w; install the package ca-bundle, or name the broker's own authority in `option broker_ca`", shorten(err))
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; the authority is not the one in %s", shorten(err), s.o.CAFile)
	case errors.As(err, &record):
		return fmt.Errorf("%w; is this a broker for http:// URLs?", shorten(err))
	}
	return err
}

// shorten leaves room for the hint that follows, whatever names the certificate holds.
func shorten(err error) error { return &shortError{err} }

type shortError struct{ err error }

func (e *shortError) Error() string {
	return printable(strings.TrimPrefix(e.err.Error(), "tls: "), 180)
}
func (e *shortError) Unwrap() error { return e.err }
