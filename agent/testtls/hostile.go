package testtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority signs any certificate that a test asks for.
type Authority struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

// NewAuthority gives one that signs itself; change may change what it says of itself.
func NewAuthority(t testing.TB, change func(*x509.Certificate)) Authority {
	t.Helper()
	return issue(t, nil, change)
}

// Below gives an authority that this one has signed.
func (a Authority) Below(t testing.TB, change func(*x509.Certificate)) Authority {
	t.Helper()
	return issue(t, &a, change)
}

func issue(t testing.TB, parent *Authority, change func(*x509.Certificate)) Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(0, 0, 1), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(tmpl)
	}
	signer, by := tmpl, key
	if parent != nil {
		signer, by = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, signer, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Authority{cert, der, key}
}

// Server gives a server's certificate, signed by this authority, with the others' in the chain.
func (a Authority) Server(t testing.TB, names []string, change func(*x509.Certificate),
	chain ...Authority) tls.Certificate {
	t.Helper()
	leaf := issue(t, &a, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage, c.DNSNames = "server", false, x509.KeyUsageDigitalSignature, names
		if change != nil {
			change(c)
		}
	})
	out := tls.Certificate{Certificate: [][]byte{leaf.der}, PrivateKey: leaf.key}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.der)
	}
	return out
}

// File writes the authority's certificate, and returns the file's name.
func (a Authority) File(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Names gives n short names below a domain.
func Names(n int, domain string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%x.%s", i, domain)
	}
	return out
}

// Policies gives the extensions of an authority with n policies that are mapped to n others (RFC 5280 sections 4.2.1.4,
// 4.2.1.5).
func Policies(t testing.TB, n int) []pkix.Extension {
	t.Helper()
	type information struct{ ID asn1.ObjectIdentifier }
	type mapping struct{ Issuer, Subject asn1.ObjectIdentifier }
	var infos []information
	var maps []mapping
	for i := range n {
		infos = append(infos, information{asn1.ObjectIdentifier{1, 2, 3, i}})
		for j := range 2 {
			maps = append(maps, mapping{asn1.ObjectIdentifier{1, 2, 3, i}, asn1.ObjectIdentifier{1, 2, 4, 2*i + j}})
		}
	}
	extension := func(last int, critical bool, content any) pkix.Extension {
		der, err := asn1.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, last}, Critical: critical, Value: der}
	}
	return []pkix.Extension{extension(32, false, infos), extension(33, false, maps)}
}
