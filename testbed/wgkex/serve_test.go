package wgkex

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wguplink/testbed/httpfault"
)

func TestServeTLS(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	ca, err := NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewCA(now)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(c Certificate, err error) Certificate {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}

	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var wrongName x509.HostnameError
	tests := []struct {
		name string
		cert Certificate
		want any // pointer to an error of the client; nil: it works
	}{
		{"good", issue(ca.Server(now, "broker.example.org", "192.0.2.1")), nil},
		{"expired", issue(ca.Expired(now, "broker.example.org")), &invalid},
		{"not yet", issue(ca.Issue(now.AddDate(0, 0, 1), now.AddDate(1, 0, 0), "broker.example.org")), &invalid},
		{"wrong name", issue(ca.Server(now, "other.example.org")), &wrongName},
		{"address only", issue(ca.Server(now, "192.0.2.1")), &wrongName},
		{"unknown authority", issue(stranger.Server(now, "broker.example.org")), &unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			caFile, certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"),
				filepath.Join(dir, "key.pem")
			if err := errors.Join(ca.WriteFile(caFile), tt.cert.WriteFiles(certFile, keyFile)); err != nil {
				t.Fatal(err)
			}
			if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
				t.Error(err)
			}
			if st, err := os.Stat(keyFile); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("key file: %v, %v", st, err)
			}
			caPEM, err := os.ReadFile(caFile)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(caPEM) {
				t.Fatal("the CA file has no certificate")
			}

			conf, err := tt.cert.TLS()
			if err != nil {
				t.Fatal(err)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			complaints := make(chan string, 8)
			done := make(chan error, 1)
			go func() { done <- Serve(ctx, ln, New(Options{}), conf, func(s string) { complaints <- s }) }()

			var pin [sha256.Size]byte
			tr := &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
				},
				TLSClientConfig: &tls.Config{
					RootCAs: roots,
					Time:    func() time.Time { return now },
					VerifyConnection: func(s tls.ConnectionState) error {
						pin = sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
						return nil
					},
				},
			}
			resp, _, err := do(t, &http.Client{Transport: tr}, "https://broker.example.org"+PathV1)
			tr.CloseIdleConnections()
			if tt.want == nil {
				if err != nil || resp.StatusCode != 400 {
					t.Errorf("status %v, %v", resp, err)
				}
				if pin != tt.cert.Pin {
					t.Errorf("pin %x, want %x", pin, tt.cert.Pin)
				}
			} else {
				if !errors.As(err, tt.want) {
					t.Errorf("client says %v, want a %T", err, tt.want)
				} else if s := <-complaints; !strings.Contains(s, "TLS handshake error") {
					t.Errorf("server says %q", s)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	if _, err := ca.Server(now); err == nil {
		t.Error("a certificate without a name")
	}
}

// Serve cuts connections, but does not return before their handlers have.
func TestServeWaits(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var returned atomic.Bool
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
		returned.Store(true)
	})
	done := make(chan error, 1)
	go func() {
		err := Serve(ctx, ln, h, nil, nil)
		if !returned.Load() {
			err = errors.Join(err, errors.New("a handler still runs"))
		}
		done <- err
	}()
	if resp, _, err := do(t, &http.Client{Transport: &http.Transport{}}, "http://"+ln.Addr().String()); err == nil {
		t.Errorf("status %d, want no answer", resp.StatusCode)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Serve cuts a handler that hangs, and reports a listener that another goroutine closed.
func TestServeEnds(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := New(Options{OnRequest: func(Request) { cancel() }})
	b.SetFaults(httpfault.Hang())
	ln := listen()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, b, nil, nil) }()
	if resp, _, err := do(t, &http.Client{Transport: &http.Transport{}},
		"http://"+ln.Addr().String()+PathV1); err == nil {
		t.Errorf("status %d, want no answer", resp.StatusCode)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}

	ln = listen()
	ln.Close()
	if err := Serve(context.Background(), ln, b, nil, nil); err == nil {
		t.Error("no error for a listener that was closed before")
	}
}
