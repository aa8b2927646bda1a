package wgkex

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// CA is a throw-away certificate authority.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificate is a certificate with its key, both in PEM.
type Certificate struct {
	CertPEM, KeyPEM []byte
	// Pin is the SHA-256 of the SubjectPublicKeyInfo.
	Pin [sha256.Size]byte
}

// NewCA makes an authority that is valid from a day before now for ten years. Two calls give two authorities that do
// not trust each other's certificates.
func NewCA(now time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "lab authority"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := sign(t, t, key, key)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// PEM returns the authority's own certificate, for the client's CA file.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// WriteFile writes the authority's certificate to a PEM file.
func (ca *CA) WriteFile(path string) error { return os.WriteFile(path, ca.PEM(), 0o644) }

// Server issues a certificate for DNS names and IP addresses, valid from a day before now for a year.
func (ca *CA) Server(now time.Time, names ...string) (Certificate, error) {
	return ca.Issue(now.AddDate(0, 0, -1), now.AddDate(1, 0, 0), names...)
}

// Expired issues a certificate that ran out a day before now, and was valid for a year until then.
func (ca *CA) Expired(now time.Time, names ...string) (Certificate, error) {
	return ca.Issue(now.AddDate(-1, 0, -1), now.AddDate(0, 0, -1), names...)
}

// Issue issues a server certificate for DNS names and IP addresses with the given validity.
func (ca *CA) Issue(notBefore, notAfter time.Time, names ...string) (Certificate, error) {
	if len(names) == 0 {
		return Certificate{}, errors.New("server certificate: no name given; pass at least one DNS name or IP address")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("server certificate for %s: %w", names[0], err)
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: names[0]},
		NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := sign(t, ca.cert, key, ca.key)
	if err != nil {
		return Certificate{}, fmt.Errorf("server certificate for %s: %w", names[0], err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, fmt.Errorf("server certificate for %s: %w", names[0], err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Certificate{}, fmt.Errorf("server certificate for %s: %w", names[0], err)
	}
	return Certificate{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		Pin:     sha256.Sum256(spki),
	}, nil
}

// TLS returns a server configuration with this certificate.
func (c Certificate) TLS() (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.CertPEM, c.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// WriteFiles writes the certificate and its key to PEM files.
func (c Certificate) WriteFiles(certFile, keyFile string) error {
	if err := os.WriteFile(certFile, c.CertPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(keyFile, c.KeyPEM, 0o600)
}

// sign gives the template a random serial number and signs it.
func sign(t, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, t, parent, key.Public(), parentKey)
}
