//go:build !nobroker

package httpc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"wguplink/agent/printable"
)

const (
	maxHeader  = 32 << 10 // bytes of status lines and header fields in one answer
	maxInterim = 5        // 1xx answers before the one that counts
)

// Client makes requests. It has no state, and may be used by several goroutines.
type Client struct {
	// Dial makes every connection. It gets "tcp" and host:port, and resolves the name.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Trust says which certificates are good; it is for https URLs.
	Trust Trust
	// MaxBody is how many bytes of a body are read; what follows is left out.
	MaxBody int
}

// Request is one request. URL is an absolute http or https one.
type Request struct {
	Method string
	URL    *url.URL
	// Header goes with the request. Host, Content-Length, Connection and Accept-Encoding are added.
	Header map[string][]string
	// Body is sent when it is not nil.
	Body []byte
}

// Response is what the server answered.
type Response struct {
	Status int
	Header textproto.MIMEHeader
	Body   []byte // MaxBody bytes at most
	Big    bool   // there was more
}

// Proven is what a connection may implement to learn that the server behind it gave an answer.
type Proven interface{ Prove() }

// Do makes a request, and closes its connection. It ends with the context at the latest. A *ConnectError says that
// there was no connection to speak over; with a *BrokenOffError the Response is what came up to then.
func (c Client) Do(ctx context.Context, q Request) (r Response, err error) {
	head, err := q.marshal()
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	conn, err := c.connect(ctx, q.URL)
	if err != nil {
		return r, &ConnectError{err}
	}
	defer conn.Close()
	// TLS reads messages of its own here, too: tickets and new keys.
	defer contain(&err)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(append(head, q.Body...)); err != nil {
		return r, err
	}
	return read(conn, c.MaxBody)
}

// connect gives a connection to the server of a URL that a request can be written to.
func (c Client) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	conn, err := c.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	wire := conn
	if u.Scheme == "https" {
		if wire, err = c.Trust.shake(ctx, conn, u.Hostname()); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return &connection{Conn: wire, under: conn}, nil
}

// connection knows what is below TLS.
type connection struct {
	net.Conn
	under net.Conn
}

// Prove passes it on to the connection that Dial gave.
func (c *connection) Prove() {
	if p, ok := c.under.(Proven); ok {
		p.Prove()
	}
}

// contain turns a panic of the calling function into its error.
func contain(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{v}
	}
}

// marshal gives the request up to its body.
func (q Request) marshal() ([]byte, error) {
	host := q.URL.Host
	// only we know the zone (RFC 6874 section 4)
	if h, zone, ok := strings.Cut(q.URL.Hostname(), "%"); ok && zone != "" {
		host = "[" + h + "]"
		if p := q.URL.Port(); p != "" {
			host += ":" + p
		}
	}
	target := q.URL.RequestURI()
	if !strings.HasPrefix(target, "/") {
		target = "/" + target // as a URL with a host is written
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", q.Method, target)
	field := func(name, value string) error {
		if !clean(name) || !clean(value) {
			return fmt.Errorf("header field %q: %q has control characters", printable.Text(name, 60),
				printable.Text(value, 60))
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		return nil
	}
	all := [][2]string{{"Host", host}}
	var names []string
	for name := range q.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range q.Header[name] {
			all = append(all, [2]string{name, v})
		}
	}
	if q.Body != nil {
		all = append(all, [2]string{"Content-Length", strconv.Itoa(len(q.Body))})
	}
	all = append(all, [2]string{"Accept-Encoding", "identity"}, [2]string{"Connection", "close"})
	for _, f := range all {
		if err := field(f[0], f[1]); err != nil {
			return nil, err
		}
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

// clean says that a text cannot end its header field.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// read reads an answer.
func read(conn io.Reader, maxBody int) (r Response, err error) {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	br := bufio.NewReader(limited)
	tp := textproto.NewReader(br)
	for n := 0; ; n++ {
		if err = r.readHead(tp); err != nil {
			if limited.N <= 0 {
				err = fmt.Errorf("the header has more than %d bytes", maxHeader)
			}
			return r, err
		}
		// 101 is final: what follows is no HTTP any more (RFC 9110 section 15.2.2).
		if r.Status >= 200 || r.Status == 101 {
			break
		}
		if n == maxInterim {
			return r, fmt.Errorf("more than %d interim answers, the last one with status %d", maxInterim, r.Status)
		}
	}
	if p, ok := conn.(Proven); ok {
		p.Prove()
	}
	if r.Status < 200 || r.Status == 204 || r.Status == 304 {
		return r, nil
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return r, fmt.Errorf("content encoding %q, although none was asked for", printable.Text(e, 30))
	}
	limited.N = 1 << 62 // the body has a limit of its own
	return r, r.readBody(br, maxBody)
}

// readHead reads the status line and the header fields.
func (r *Response) readHead(tp *textproto.Reader) error {
	line, err := tp.ReadLine()
	if err != nil {
		return end(err)
	}
	version, rest, _ := strings.Cut(line, " ")
	status, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	r.Status, err = strconv.Atoi(status)
	if err != nil || len(status) != 3 || status[0] < '1' || status[0] > '9' || version != "HTTP/1.0" &&
		version != "HTTP/1.1" {
		return &NotHTTPError{printable.Text(line, 100)}
	}
	if r.Header, err = tp.ReadMIMEHeader(); err != nil {
		return end(err)
	}
	return nil
}

// end says that the answer is not complete: io.EOF alone reads as if all were well.
func end(err error) error {
	if err == io.EOF {
		return fmt.Errorf("no complete answer: %w", io.ErrUnexpectedEOF)
	}
	return err
}
