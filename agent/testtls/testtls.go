// Package testtls makes certificates for tests: good ones, and ones that no authority would sign.
package testtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"testing"
	"time"
)

// Good gives a self-signed certificate for a name or an address.
func Good(t testing.TB, host string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	tmpl := template("good", host)
	tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	key, der := sign(t, tmpl)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert
}

// DSAChain gives a chain on which crypto/x509 before Go 1.24.8 and 1.25.2 panics (CVE-2025-58188): a certificate with
// an issuer of its own name, and beside it one of that name with a DSA key. Comparing the two keys asks the DSA key for
// a method that it does not have. No signature in it is of a trusted authority. The certificate is for the host,
// since names are compared before chains are built.
func DSAChain(t testing.TB, host string) tls.Certificate {
	t.Helper()
	key, leaf := sign(t, template("same name", host))
	_, parent := sign(t, template("same name", host))
	return tls.Certificate{Certificate: [][]byte{leaf, withDSAKey(t, parent)}, PrivateKey: key}
}

func template(name, host string) *x509.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(0, 0, 1), BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{host}
	}
	return tmpl
}

// sign gives a self-signed certificate, and its key.
func sign(t testing.TB, tmpl *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// certificate is that of RFC 5280 section 4.1, as far as a test must take it apart.
type certificate struct {
	TBS       tbs
	Algorithm asn1.RawValue
	Signature asn1.RawValue
}

type tbs struct {
	Version    asn1.RawValue
	Serial     asn1.RawValue
	Algorithm  asn1.RawValue
	Issuer     asn1.RawValue
	Validity   asn1.RawValue
	Subject    asn1.RawValue
	Key        subjectKey
	Extensions asn1.RawValue
}

type subjectKey struct {
	Algorithm dsaAlgorithm
	Key       asn1.BitString
}

// dsaAlgorithm is id-dsa with its parameters (RFC 3279 section 2.3.2).
type dsaAlgorithm struct {
	OID    asn1.ObjectIdentifier
	Params struct{ P, Q, G *big.Int }
}

// withDSAKey puts a DSA key in the place of the key in a certificate, whose signature is wrong then.
func withDSAKey(t testing.TB, der []byte) []byte {
	t.Helper()
	var whole struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(der, &whole); err != nil {
		t.Fatal(err)
	}
	parts := make([]asn1.RawValue, 8)
	for i, rest := 0, whole.TBS.Bytes; i < len(parts); i++ {
		var err error
		if rest, err = asn1.Unmarshal(rest, &parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	y, err := asn1.Marshal(big.NewInt(5))
	if err != nil {
		t.Fatal(err)
	}
	key := subjectKey{Algorithm: dsaAlgorithm{OID: asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}},
		Key: asn1.BitString{Bytes: y, BitLength: 8 * len(y)}}
	key.Algorithm.Params.P, key.Algorithm.Params.Q, key.Algorithm.Params.G = big.NewInt(23),
		big.NewInt(11), big.NewInt(4)
	out, err := asn1.Marshal(certificate{
		tbs{parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], key, parts[7]},
		whole.Algorithm, whole.Signature,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
