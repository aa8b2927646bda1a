//go:build !nobroker

package httpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wguplink/agent/testtls"
)

var quiet = log.New(io.Discard, "", 0)

// nginx starts Debian's nginx on a free port, plain and over TLS on Unix sockets below a directory of its own, and
// gives that directory.
func nginx(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // an ordinary user's PATH leaves it out
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	write("small.json", `{"Message": "OK"}`)
	write("big.json", strings.Repeat("x", 100<<10))
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	write("nginx.conf", user+fmt.Sprintf(`
daemon off; pid %[1]s/pid; error_log stderr notice;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi; gzip on; gzip_types *; gzip_min_length 0;
	server {
		listen unix:%[1]s/plain; listen unix:%[1]s/tls ssl;
		ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
		root %[1]s;
		location /chunked { alias %[1]s/small.json; ssi on; ssi_types *; sub_filter OK Yes; sub_filter_types *; }
		location /moved { return 308 /small.json; }
		location /teapot { return 418 "short"; }
		location /echo { return 200 "$request_method $http_host $http_connection $http_accept_encoding"; }
		location /later { add_header Retry-After 7 always; return 503; }
		location /small-bodies { client_max_body_size 10; proxy_pass http://unix:%[1]s/nothing; }
		location /proxied { proxy_pass http://unix:%[1]s/plain:/chunked; }
		location /gone { proxy_pass http://unix:%[1]s/nothing; }
	}
}
`, dir))
	cmd := exec.Command(program, "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	started := make(chan struct{})
	cmd.Stderr = &testWriter{t: t, started: started}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; scripts/setup installs nginx", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-started:
	case err := <-ended:
		t.Fatalf("nginx ended: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	return dir
}

// testWriter passes nginx's log on, and tells when it has its sockets and its workers.
type testWriter struct {
	t       *testing.T
	started chan struct{}
}

func (w *testWriter) Write(b []byte) (int, error) {
	w.t.Logf("nginx: %s", strings.TrimSpace(string(b)))
	if w.started != nil && strings.Contains(string(b), "start worker process") {
		close(w.started)
		w.started = nil
	}
	return len(b), nil
}

// TestNginx: what a real server in front of a broker sends is understood, over TLS and without.
func TestNginx(t *testing.T) {
	cert, _ := testtls.Good(t, "a.invalid")
	dir := nginx(t, cert)
	for _, scheme := range []string{"http", "https"} {
		socket := map[string]string{"http": dir + "/plain", "https": dir + "/tls"}[scheme]
		c := Client{MaxBody: 64 << 10, Trust: Trust{CAFile: dir + "/cert.pem"},
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}
		for _, tt := range []struct {
			path   string
			body   []byte
			status int
			want   string
			header [2]string
		}{
			{"small.json", nil, 200, `{"Message": "OK"}`, [2]string{"Content-Length", "17"}},
			{"chunked", nil, 200, `{"Message": "Yes"}`, [2]string{"Transfer-Encoding", "chunked"}},
			{"proxied", nil, 200, `{"Message": "Yes"}`, [2]string{"Transfer-Encoding", "chunked"}},
			{"big.json", nil, 200, strings.Repeat("x", 64<<10), [2]string{"Content-Encoding", ""}},
			{"moved", nil, 308, "Permanent Redirect", [2]string{"Location", scheme + "://a.invalid/small.json"}},
			{"teapot", nil, 418, "short", [2]string{}},
			{"echo", []byte("{}"), 200, "POST a.invalid close identity", [2]string{"Connection", "close"}},
			{"later", nil, 503, "503 Service Temporarily Unavailable", [2]string{"Retry-After", "7"}},
			{"nothing.json", nil, 404, "404 Not Found", [2]string{"Content-Type", "text/html"}},
			{"small.json", []byte("{}"), 405, "405 Not Allowed", [2]string{}},
			{"small-bodies", []byte(strings.Repeat("x", 1000)), 413, "413 Request Entity Too Large", [2]string{}},
			{"gone", []byte("{}"), 502, "502 Bad Gateway", [2]string{}},
		} {
			t.Run(scheme+" "+tt.path, func(t *testing.T) {
				q := Request{Method: "GET", URL: parse(t, scheme+"://a.invalid/"+tt.path), Body: tt.body}
				if tt.body != nil {
					q.Method = "POST"
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				r, err := c.Do(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != tt.status || !strings.Contains(string(r.Body), tt.want) ||
					r.Big != (tt.path == "big.json") {
					t.Errorf("status %d, big %v, %.200q", r.Status, r.Big, r.Body)
				}
				if got := r.Header.Get(tt.header[0]); got != tt.header[1] {
					t.Errorf("%s is %q, want %q", tt.header[0], got, tt.header[1])
				}
			})
		}
	}
	// The plain server behind the URL of the other, and the other way round.
	cross := func(scheme, socket string) (Response, error) {
		c := Client{MaxBody: 1000, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dir+"/"+socket)
		}}
		return c.Do(context.Background(), Request{Method: "GET", URL: parse(t, scheme+"://a.invalid/")})
	}
	var notTLS *NotTLSError
	if _, err := cross("https", "plain"); !errors.As(err, &notTLS) {
		t.Errorf("got %v", err)
	}
	if r, err := cross("http", "tls"); err != nil || r.Status != 400 ||
		!strings.Contains(string(r.Body), "plain HTTP request was sent to HTTPS port") {
		t.Errorf("got %d %q, %v", r.Status, r.Body, err)
	}
}
