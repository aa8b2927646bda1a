//go:build !nobroker

package httpc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/testtcp"
	"wguplink/agent/testtls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// client dials one address, and not that of the URL.
func client(addr string, trust Trust) Client {
	return Client{MaxBody: 1000, Trust: trust, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

func TestMarshal(t *testing.T) {
	for _, tt := range []struct {
		q    Request
		want string
	}{
		{Request{Method: "GET", URL: parse(t, "http://a.invalid")},
			"GET / HTTP/1.1\r\nHost: a.invalid\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"},
		{Request{Method: "GET", URL: parse(t, "http://a.invalid").JoinPath("x")},
			"GET /x HTTP/1.1\r\nHost: a.invalid\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"},
		{Request{Method: "POST", URL: parse(t, "https://a.invalid:8443/p%20q/?r=+&s"), Body: []byte("{}"),
			Header: map[string][]string{"B": {"2", "3"}, "A": {"1"}}},
			"POST /p%20q/?r=+&s HTTP/1.1\r\nHost: a.invalid:8443\r\nA: 1\r\nB: 2\r\nB: 3\r\nContent-Length: " +
				"2\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"},
		{Request{Method: "GET", URL: parse(t, "http://[fe80::1%25eth0]:81/")},
			"GET / HTTP/1.1\r\nHost: [fe80::1]:81\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"},
		{Request{Method: "GET", URL: parse(t, "http://[2001:db8::1]/")},
			"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"},
		{Request{Method: "GET", URL: parse(t, "http://a.invalid"), Header: map[string][]string{"A": {"1\r\nB: 2"}}},
			""},
		{Request{Method: "GET", URL: parse(t, "http://a.invalid"), Header: map[string][]string{"A\n": {"1"}}}, ""},
		{Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "a\r\nb", Path: "/"}}, ""},
	} {
		got, err := tt.q.marshal()
		if string(got) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
		}
	}
}

func TestRead(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct{ name, in, body, err string }{
		{"length", ok + "Content-Length: 3\r\n\r\nabcdef", "abc", ""},
		{"equal lengths", ok + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "abc", ""},
		{"to the end", ok + "\r\nabc", "abc", ""},
		{"1.0", "HTTP/1.0 200 OK\r\n\r\nabc", "abc", ""},
		{"no reason", "HTTP/1.1 200\r\n\r\nabc", "abc", ""},
		{"newlines alone", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "abc", ""},
		{"chunks", ok + "transfer-encoding: Chunked\r\n\r\n1\r\na\r\n02;x=y\r\nbc\r\n0\r\nTrailer: x\r\n\r\n", "abc",
			""},
		{"chunks count before length", ok +
			"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n", "a", ""},
		{"empty chunks", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ""},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "\r\nabc", "abc",
			""},
		{"no content", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", "", ""},
		{"not modified", "HTTP/1.1 304 No\r\n\r\nabc", "", ""},
		{"switching", "HTTP/1.1 101 Yes\r\n\r\nabc", "", ""},
		{"as much as allowed", ok + "\r\n" + strings.Repeat("x", 1000), strings.Repeat("x", 1000), ""},

		{"nothing", "", "", "no complete answer: unexpected EOF"},
		{"half a header", ok + "Content-Le", "", "missing colon"},
		{"other protocol", "SSH-2.0-x\r\n", "", `malformed HTTP response "SSH-2.0-x"`},
		{"version 2", "HTTP/2 200 OK\r\n\r\n", "", "malformed HTTP response"},
		{"no status", "HTTP/1.1 OK\r\n\r\n", "", "malformed HTTP response"},
		{"status +20", "HTTP/1.1 +20 OK\r\n\r\n", "", "malformed HTTP response"},
		{"status of two digits", "HTTP/1.1 99 OK\r\n\r\n", "", "malformed HTTP response"},
		{"no colon", ok + "abc\r\n\r\n", "", "malformed MIME header"},
		{"long header", ok + "A: " + strings.Repeat("x", maxHeader) + "\r\n\r\n", "",
			"the header has more than 32768 bytes"},
		{"many fields", ok + strings.Repeat("A: x\r\n", maxHeader) + "\r\n", "",
			"the header has more than 32768 bytes"},
		{"long first line", strings.Repeat("x", maxHeader), "", "the header has more than 32768 bytes"},
		{"endless interim", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), "", "more than 5 interim answers"},
		{"two lengths", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "", `two lengths, "3" and "4"`},
		{"list of lengths", ok + "Content-Length: 3, 3\r\n\r\nabc", "", `content length "3, 3"`},
		{"negative length", ok + "Content-Length: -3\r\n\r\nabc", "", `content length "-3"`},
		{"signed length", ok + "Content-Length: +3\r\n\r\nabc", "", `content length "+3"`},
		{"huge length", ok + "Content-Length: 99999999999999999999\r\n\r\nabc", "",
			`content length "99999999999999999999"`},
		{"short", ok + "Content-Length: 4\r\n\r\nabc", "abc", "broke off after 3 bytes: unexpected EOF"},
		{"gzip", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "", `transfer encoding "gzip, chunked"`},
		{"encodings", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "",
			"transfer encoding"},
		{"compressed", ok + "Content-Encoding: gzip\r\n\r\n\x1f\x8b", "",
			`content encoding "gzip", although none was asked for`},
		{"chunk without length", ok + "Transfer-Encoding: chunked\r\n\r\n\r\n", "", `"" is no length of a chunk`},
		{"chunk of -1", ok + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "", `"-1" is no length of a chunk`},
		{"huge chunk", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "", "is no length of a chunk"},
		{"chunk too long", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", "a",
			"a chunk does not end where it should"},
		{"chunk cut off", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "ab",
			"broke off after 2 bytes: unexpected EOF"},
		{"no last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", "a",
			"broke off after 1 bytes: unexpected EOF"},
		{"long extension", ok + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 5000), "",
			"bytes between the chunks"},
		{"many extensions", ok + "Transfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\na\r\n", 20), "aaaaaaaa", "bytes between the chunks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := read(strings.NewReader(tt.in), 1000)
			if string(r.Body) != tt.body || r.Big {
				t.Errorf("body %q, want %q", r.Body, tt.body)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %s", err, tt.err)
			}
		})
	}
	for _, in := range []string{ok + "\r\n", ok + "Content-Length: 1001\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n"} {
		if r, err := read(strings.NewReader(in+strings.Repeat("x", 1001)), 1000); err != nil || !r.Big ||
			len(r.Body) != 1000 {
			t.Errorf("%q: %d bytes, %v, %v", in, len(r.Body), r.Big, err)
		}
	}
}

// FuzzRead: nothing makes the reading fail in another way than by an error, or take more than it may. What is
// understood reads as net/http reads it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 404 No\r\n\r\nabc",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 204 No\r\nRetry-After: 7\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bytes.NewReader(in)
		r, err := read(src, 100)
		if len(r.Body) > 100 {
			t.Fatalf("%d bytes", len(r.Body))
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		if r.Status < 200 || bytes.Contains(in, []byte("HTTP/1.1 1")) || bytes.HasPrefix(in, []byte("HTTP/1.0")) {
			return // net/http's reader of one answer does not skip interim ones, and takes no chunks with 1.0
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), nil)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		body, err := io.ReadAll(io.LimitReader(want.Body, 101))
		big := len(body) > 100
		if big {
			body = body[:100]
		}
		if want.StatusCode != r.Status || err == nil && (!bytes.Equal(body, r.Body) || big != r.Big) {
			t.Fatalf("got %d %q, net/http reads %d %q", r.Status, r.Body, want.StatusCode, body)
		}
	})
}

// listen starts a server that hands each connection to talk.
func listen(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	testtcp.Serve(t, l, talk)
	return l.Addr().String()
}

// TestEnds: a request ends with its context, in each of its waits.
func TestEnds(t *testing.T) {
	waits := make(chan struct{}) // a value when the client waits for what never comes
	// A server reads the beginning of the request, so that the client has dialled, and answers with the beginning of
	// something.
	server := func(answer string) string {
		return listen(t, func(conn net.Conn) {
			_, err := conn.Read(make([]byte, 1))
			if _, err2 := io.WriteString(conn, answer); err == nil && err2 == nil {
				waits <- struct{}{}
			}
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	silent, begins := server(""), server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
	for _, tt := range []struct {
		name, url, addr string
		connect         bool
	}{
		{"header", "http://a.invalid/", silent, false},
		{"body", "http://a.invalid/", begins, false},
		{"handshake", "https://a.invalid/", silent, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				<-waits
				cancel()
			}()
			_, err := client(tt.addr, Trust{}).Do(ctx, Request{Method: "GET", URL: parse(t, tt.url)})
			var connect *ConnectError
			if !errors.Is(err, context.Canceled) || errors.As(err, &connect) != tt.connect {
				t.Errorf("got %T: %v", err, err)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client("192.0.2.1:9", Trust{}).Do(ctx,
		Request{Method: "GET", URL: parse(t, "http://a.invalid/")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	if _, err := client("192.0.2.1:9", Trust{}).Do(ctx,
		Request{Method: "GET", URL: parse(t, "http://a.invalid/")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// proving is a connection that counts what Prove says.
type proving struct {
	net.Conn
	n *int
}

func (p proving) Prove() { *p.n++ }

func TestProve(t *testing.T) {
	cert, _ := testtls.Good(t, "a.invalid")
	for _, tt := range []struct {
		name, url string
		trust     Trust
		want      int
	}{
		{"plain", "http://a.invalid/", Trust{}, 1}, {"not trusted", "https://a.invalid/", Trust{}, 0},
		{"TLS", "https://a.invalid/", Trust{CAFile: caFile(t, cert)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = quiet
			if strings.HasPrefix(tt.url, "https") {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			n := 0
			c := client("", tt.trust)
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
				return proving{conn, &n}, err
			}
			r, err := c.Do(context.Background(), Request{Method: "GET", URL: parse(t, tt.url)})
			if n != tt.want || (err == nil && r.Status == 404) != (tt.want == 1) {
				t.Errorf("proven %d times, want %d; %d, %v", n, tt.want, r.Status, err)
			}
		})
	}
}

func caFile(t *testing.T, c tls.Certificate) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestPanicIsContained: a panic anywhere between dialling and the last byte is an error.
func TestPanicIsContained(t *testing.T) {
	cert, parsed := testtls.Good(t, "a.invalid")
	_ = cert
	_, err := Trust{Now: func() time.Time { panic("in the\nhandshake") },
		CAFile: caFileOf(t, parsed)}.shake(context.Background(), handshaking(t, cert), "a.invalid")
	var p *PanicError
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "(panic: in the handshake)") {
		t.Errorf("got %v", err)
	}
	c := Client{MaxBody: 1, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		far.Close()
		return panics{near}, nil
	}}
	if _, err = c.Do(context.Background(), Request{Method: "GET", URL: parse(t, "http://a.invalid/")}); !errors.As(err,
		&p) {
		t.Errorf("got %v", err)
	}
}

// panics is a connection that panics when it is written to.
type panics struct{ net.Conn }

func (panics) Write([]byte) (int, error) { panic(errors.New("write")) }

func caFileOf(t *testing.T, c *x509.Certificate) string {
	return caFile(t, tls.Certificate{Certificate: [][]byte{c.Raw}})
}

// handshaking gives a connection to a TLS server.
func handshaking(t *testing.T, cert tls.Certificate) net.Conn {
	t.Helper()
	addr := listen(t, func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestDSAChain: with this Go the chain is refused, or its panic contained. agent/hostile_tls_test.go has the Go of the
// routers.
func TestDSAChain(t *testing.T) {
	_, err := Trust{}.shake(context.Background(), handshaking(t, testtls.DSAChain(t, "a.invalid")), "a.invalid")
	var cert *CertificateError
	var p *PanicError
	if !errors.As(err, &cert) && !errors.As(err, &p) {
		t.Errorf("got %v", err)
	}
	// With a pin alone the chain does not count, and the pin is wrong.
	_, err = Trust{CAFile: PinOnly, Pins: [][32]byte{{1}}}.shake(context.Background(),
		handshaking(t, testtls.DSAChain(t, "a.invalid")), "a.invalid")
	if !errors.As(err, &cert) || cert.Reason != Pin {
		t.Errorf("got %v", err)
	}
	// Without a pin it is no check at all, so nothing is trusted.
	good, _ := testtls.Good(t, "a.invalid")
	if _, err = (Trust{CAFile: PinOnly}).shake(context.Background(), handshaking(t, good),
		"a.invalid"); !errors.As(err, &cert) {
		t.Errorf("got %v", err)
	}
}
