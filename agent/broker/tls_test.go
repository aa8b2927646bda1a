//go:build !nobroker

package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// authority signs certificates in a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T, name string) *authority {
	a := new(authority)
	a.cert, a.key = newCert(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
		0o644); err != nil {
		t.Fatal(err)
	}
	return a
}

// newCert signs with the authority; nil is self-signed. Without dates it is valid from yesterday until tomorrow.
func newCert(t *testing.T, by *authority, tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = time.Now().AddDate(0, 0, -1), time.Now().AddDate(0, 0, 1)
	}
	parent, signer := tmpl, k
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &k.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, k
}

// serveTLS starts a server at https://name that shows the certificate, followed by others.
func (w *wan) serveTLS(t *testing.T, name string, h http.Handler, key *ecdsa.PrivateKey, chain ...*x509.Certificate) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	c := tls.Certificate{PrivateKey: key}
	for _, cert := range chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.StartTLS()
	t.Cleanup(s.Close)
	w.add(name+":443", s.Listener.Addr().String())
}

func pin(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "our CA"), newAuthority(t, "other CA")
	names := []string{"broker.invalid"}
	good, goodKey := newCert(t, ca, &x509.Certificate{DNSNames: names})
	foreign, foreignKey := newCert(t, other, &x509.Certificate{DNSNames: names})
	expired, expiredKey := newCert(t, ca, &x509.Certificate{
		DNSNames: names, NotBefore: time.Now().AddDate(0, 0, -9), NotAfter: time.Now().AddDate(0, 0, -2),
	})
	misnamed, misnamedKey := newCert(t, ca, &x509.Certificate{DNSNames: []string{"evil.invalid",
		strings.Repeat("e", 60) + ".invalid", strings.Repeat("f", 60) + ".invalid"}})
	selfMade, selfKey := newCert(t, nil, &x509.Certificate{
		// no name, no good date
		Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0),
	})
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("-----BEGIN NOTHING-----\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in1970 := func() time.Time { return time.Unix(1000, 0) }

	for _, tt := range []struct {
		name  string
		o     Options
		key   *ecdsa.PrivateKey
		chain []*x509.Certificate
		want  []string // in the error; nil when all is well
	}{
		{"own CA", Options{CAFile: ca.file}, goodKey, []*x509.Certificate{good}, nil},
		{"pin of the leaf", Options{CAFile: ca.file, Pins: [][32]byte{{}, pin(good)}}, goodKey,
			[]*x509.Certificate{good}, nil},
		{"pin of the CA, not sent", Options{CAFile: ca.file, Pins: [][32]byte{pin(ca.cert)}}, goodKey,
			[]*x509.Certificate{good}, nil},
		{"pin only", Options{CAFile: PinOnly, Pins: [][32]byte{pin(good)}}, goodKey, []*x509.Certificate{good}, nil},
		{"pin only, self-signed and expired", Options{CAFile: PinOnly, Pins: [][32]byte{pin(selfMade)}}, selfKey,
			[]*x509.Certificate{selfMade}, nil},
		{"pin only, clock wrong", Options{CAFile: PinOnly, Pins: [][32]byte{pin(good)}, Now: in1970}, goodKey,
			[]*x509.Certificate{good}, nil},

		{"unknown CA", Options{CAFile: ca.file}, foreignKey, []*x509.Certificate{foreign, other.cert},
			[]string{"certificate signed by unknown authority", "the authority is not the one in " + ca.file}},
		{"not in the system's", Options{}, goodKey, []*x509.Certificate{good, ca.cert},
			[]string{"certificate signed by unknown authority", "ca-bundle"}},
		{"expired", Options{CAFile: ca.file}, expiredKey, []*x509.Certificate{expired},
			[]string{"expired", "is the clock of this router right? it is past that time"}},
		{"not yet valid", Options{CAFile: ca.file, Now: in1970}, goodKey, []*x509.Certificate{good},
			[]string{"not yet valid", "is the clock of this router right? it is behind that time"}},
		{"wrong name", Options{CAFile: ca.file}, misnamedKey, []*x509.Certificate{misnamed},
			[]string{"evil.invalid", "not broker.invalid"}},
		{"wrong pin", Options{CAFile: ca.file, Pins: [][32]byte{pin(foreign), pin(selfMade)}}, goodKey,
			[]*x509.Certificate{good},
			[]string{"none of the 2 pins matches", "(base64) = "}},
		{"pin of a certificate outside the chain", Options{CAFile: ca.file, Pins: [][32]byte{pin(other.cert)}}, goodKey,
			[]*x509.Certificate{good, other.cert}, []string{"none of the 1 pins matches"}},
		{"right pin, unknown CA", Options{CAFile: ca.file, Pins: [][32]byte{pin(foreign)}}, foreignKey,
			[]*x509.Certificate{foreign},
			[]string{"certificate signed by unknown authority"}},
		{"pin only, wrong", Options{CAFile: PinOnly, Pins: [][32]byte{pin(good)}}, foreignKey,
			[]*x509.Certificate{foreign}, []string{"none of the 1 pins"}},
		{"pin only, copied certificate", Options{CAFile: PinOnly, Pins: [][32]byte{pin(good)}}, foreignKey,
			[]*x509.Certificate{foreign, good},
			[]string{"none of the 1 pins"}},
		{"no such CA file", Options{CAFile: "/nonexistent/ca.pem"}, goodKey, []*x509.Certificate{good},
			[]string{"broker authority: open /nonexistent/ca.pem: no such file"}},
		{"empty CA file", Options{CAFile: noPEM}, goodKey, []*x509.Certificate{good},
			[]string{noPEM + " holds no PEM certificate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serveTLS(t, "broker.invalid", canned{pathV2: ok(endpoint(nil))}, tt.key, tt.chain...)
			c := w.client(t, tt.o, "https://broker.invalid")
			if tt.want == nil {
				success(t, c, "v2", "https://broker.invalid")
			} else {
				failure(t, c, Unreachable, tt.want...)
			}
			if n := len(w.dials()); n > 1 {
				t.Errorf("%d connections; a failed handshake is no reason to try v1", n)
			}
		})
	}
}

// TestTLSOtherKinds: the port of one sort of server behind the URL of the other.
func TestTLSOtherKinds(t *testing.T) {
	ca := newAuthority(t, "our CA")
	cert, k := newCert(t, ca, &x509.Certificate{DNSNames: []string{"broker.invalid"}})
	w := newWAN()
	w.serveTLS(t, "broker.invalid", canned{pathV2: ok(endpoint(nil))}, k, cert)
	w.serve(t, "plain.invalid", canned{pathV2: ok(endpoint(nil))})
	w.add("plain.invalid:443", w.servers["plain.invalid:80"])
	w.add("broker.invalid:80", w.servers["broker.invalid:443"])
	failure(t, w.client(t, Options{CAFile: ca.file}, "https://plain.invalid"), Unreachable,
		"does not look like a TLS handshake; is this a broker for http:// URLs?")
	failure(t, w.client(t, Options{CAFile: ca.file}, "http://broker.invalid"), Refused, "status 400")
	// never a silent change of the scheme
	want := []string{"plain.invalid:443", "broker.invalid:80", "broker.invalid:80"}
	if d := cmp.Diff(want, w.dials()); d != "" {
		t.Error(d)
	}
}
