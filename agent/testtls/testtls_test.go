//go:build go1.25

package testtls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"testing"
)

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", file)
	}
	return p
}

// A good certificate is good for its host, a name or an address, and for no other.
func TestGood(t *testing.T) {
	for host, other := range map[string]string{"a.invalid": "b.invalid", "192.0.2.1": "192.0.2.2"} {
		_, cert := Good(t, host)
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		var name x509.HostnameError
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: other, Roots: roots}); !errors.As(err, &name) {
			t.Errorf("%s for %s: %v", host, other, err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool()}); err == nil {
			t.Errorf("%s is good without its authority", host)
		}
	}
}

// A server's certificate is good by the chain to its authority, and not without the part between.
func TestAuthority(t *testing.T) {
	root := NewAuthority(t, nil)
	below := root.Below(t, func(c *x509.Certificate) { c.Subject.CommonName = "below" })
	names := Names(3, "invalid")
	server := below.Server(t, names, nil, below)
	leaf, err := x509.ParseCertificate(server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	for _, der := range server.Certificate[1:] {
		between.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	o := x509.VerifyOptions{DNSName: "2.invalid", Roots: pool(t, root.File(t)), Intermediates: between}
	if _, err := leaf.Verify(o); err != nil {
		t.Error(err)
	}
	o.Intermediates = nil
	var unknown x509.UnknownAuthorityError
	if _, err := leaf.Verify(o); !errors.As(err, &unknown) {
		t.Errorf("without the authority between: %v", err)
	}
}

// The extensions of policies are ones that crypto/x509 reads.
func TestPolicies(t *testing.T) {
	a := NewAuthority(t, func(c *x509.Certificate) { c.ExtraExtensions = Policies(t, 3) })
	if n, m := len(a.cert.PolicyIdentifiers), len(a.cert.PolicyMappings); n != 3 || m != 6 {
		t.Errorf("%d policies, %d mappings", n, m)
	}
}

// The chain has the two certificates of one name, and the second has a DSA key.
func TestDSAChain(t *testing.T) {
	chain := DSAChain(t, "a.invalid")
	if len(chain.Certificate) != 2 {
		t.Fatalf("%d certificates", len(chain.Certificate))
	}
	var all []*x509.Certificate
	for _, der := range chain.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if all[0].Subject.String() != all[1].Subject.String() || all[1].PublicKeyAlgorithm != x509.DSA {
		t.Errorf("%v, %v with a key of %v", all[0].Subject, all[1].Subject, all[1].PublicKeyAlgorithm)
	}
	if err := all[0].VerifyHostname("a.invalid"); err != nil {
		t.Error(err)
	}
}

// mute is a connection whose client is silent after its handshake, so that a server that does not read blocks nothing.
type mute struct {
	net.Conn
	silent bool
}

func (m *mute) Write(b []byte) (int, error) {
	if m.silent {
		return 0, io.ErrClosedPipe
	}
	return m.Conn.Write(b)
}

// The hostile servers get as far as they should with a client of crypto/tls: key updates come after the handshake, and
// it ends the connection after too many of them; a message that is added to the handshake ends it, too.
func TestHostile(t *testing.T) {
	good, cert := Good(t, "a.invalid")
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	for name, serve := range map[string]func(testing.TB, net.Listener) chan struct{}{
		"one record": func(t testing.TB, l net.Listener) chan struct{} { return KeyUpdates(t, l, good, true) },
		"for ever":   func(t testing.TB, l net.Listener) chan struct{} { return KeyUpdates(t, l, good, false) },
		"added":      func(t testing.TB, l net.Listener) chan struct{} { return AddMessage(t, l, good) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := serve(t, l)
			t.Cleanup(func() { l.Close(); <-done })
			raw, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			line := &mute{Conn: raw}
			c := tls.Client(line, &tls.Config{ServerName: "a.invalid", RootCAs: roots, MinVersion: tls.VersionTLS13})
			if err := c.Handshake(); err != nil {
				if name != "added" {
					t.Errorf("handshake: %v", err)
				}
				return
			}
			line.silent = true
			if n, err := io.Copy(io.Discard, c); n != 0 || err == nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
		})
	}
}
