//go:build !nobroker && !cross

package main

// Not with the tag cross: the program that is attacked is this machine's in any case.

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"wguplink/agent/testtls"
)

// TestHostileServers: what is known against the old Go's TLS and certificates ends the request with one error, as the
// old Go itself builds it; never the program, and never later than its time and the work on 256 KiB of certificates.
// How long that work takes is logged, not judged.
func TestHostileServers(t *testing.T) {
	good, _ := testtls.Good(t, "a.invalid")
	root := testtls.NewAuthority(t, nil)
	ca := root.File(t)
	certificates := func(cert tls.Certificate) func(*testing.T, net.Listener) chan struct{} {
		return func(t *testing.T, l net.Listener) chan struct{} { return shakeHands(l, cert) }
	}
	// Cross-signed by no authority that is trusted: all have one name, and each may have signed each.
	self := testtls.NewAuthority(t, nil)
	many := make([]testtls.Authority, 300)
	for i := range many {
		many[i] = self.Below(t, nil)
	}
	narrow := root.Below(t, func(c *x509.Certificate) {
		c.PermittedDNSDomains = append(testtls.Names(4000, "x.invalid"), "a.invalid")
		c.Subject.CommonName, c.SerialNumber = "narrow", big.NewInt(2)
	})
	mapping := root.Below(t, func(c *x509.Certificate) {
		c.ExtraExtensions, c.Subject.CommonName = testtls.Policies(t, 2000), "policies"
	})
	excluding := testtls.NewAuthority(t, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"test.invalid"} })
	wildcard := excluding.Server(t, []string{"*.invalid"}, nil)
	wrongPin := hex.EncodeToString(make([]byte, sha256.Size))

	program := buildOld(t, "./testdata/hostile")
	for _, tt := range []struct {
		name, host, ca, pin, limit string
		serve                      func(*testing.T, net.Listener) chan struct{}
		want                       string
	}{
		{"GO-2025-4155, GO-2026-5037 many names", strings.Repeat("a.", 120) + "invalid", ca, "", "10s",
			certificates(self.Server(t, testtls.Names(18000, "invalid"), nil)), "certificate"},
		{"GO-2026-4947 many authorities", "a.invalid", ca, "", "10s",
			certificates(many[0].Server(t, []string{"a.invalid"}, nil, many...)), "certificate"},
		{"GO-2025-4007 many constraints", "a.invalid", ca, "", "10s",
			certificates(narrow.Server(t, append(testtls.Names(4000, "a.invalid"), "a.invalid"), nil, narrow)),
			"error: "},
		{"GO-2026-4946 many policies", "a.invalid", ca, "", "10s",
			// this Go does not look at mappings // a limit of Go's own
			certificates(mapping.Server(t, []string{"a.invalid"}, nil, mapping)), "status: 200"},
		{"GO-2025-4175 wildcard over an exclusion", "test.invalid", excluding.File(t), "", "10s",
			certificates(wildcard), "status: 200"},
		{"GO-2025-4175 the same with a pin", "test.invalid", excluding.File(t), wrongPin, "10s",
			certificates(wildcard), "error: none of the 1 pins matches"},
		{"GO-2026-4340 a message of another's in the first record", "a.invalid", "none", pinOf(t, good), "10s",
			func(t *testing.T, l net.Listener) chan struct{} { return testtls.AddMessage(t, l, good) }, "error: "},
		{"GO-2026-4870 key updates in one record", "a.invalid", "none", pinOf(t, good), "1s",
			func(t *testing.T, l net.Listener) chan struct{} { return testtls.KeyUpdates(t, l, good, true) },
			"error: "},
		{"GO-2026-6090 key updates for ever", "a.invalid", "none", pinOf(t, good), "1s",
			func(t *testing.T, l net.Listener) chan struct{} { return testtls.KeyUpdates(t, l, good, false) },
			"error: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := tt.serve(t, l)
			t.Cleanup(func() { l.Close(); <-done })
			start := time.Now()
			code, says := execute(t, program, l.Addr().String(), tt.host, tt.ca, tt.pin, tt.limit)
			if code != want(tt.want) || !strings.Contains(says, tt.want) || strings.Contains(says, "goroutine ") {
				t.Errorf("exit code %d: %s", code, says)
			}
			t.Logf("%v: %.200s", time.Since(start).Round(time.Millisecond), says)
		})
	}
}

// want is the exit code that goes with what the program says.
func want(says string) int {
	if strings.HasPrefix(says, "status: ") {
		return 0
	}
	return 1
}

// shakeHands serves a listener until it is closed: TLS, one request, and a status of 200.
func shakeHands(l net.Listener, cert tls.Certificate) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
			if c.Handshake() == nil {
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
			c.Close()
		}
	}()
	return done
}

// pinOf gives the pin of a server's own key.
func pinOf(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	c, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
