package wan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// askAll opens a socket that puts each question to all the name servers at once. Package net would wait five seconds for
// one that is dead before it asks the next, which is longer than we have; and a server on a dead address family is common.
func askAll(ctx context.Context, d net.Dialer, servers []netip.AddrPort) (net.Conn, error) {
	var a allServers
	var last error
	for _, s := range servers {
		c, err := d.DialContext(ctx, "udp", s.String())
		if err != nil {
			last = err // no route to that family
			continue
		}
		a.conns = append(a.conns, c.(*net.UDPConn))
	}
	if len(a.conns) == 0 {
		return nil, last
	}
	a.UDPConn = a.conns[0]
	a.heard = make(chan heard)
	a.closed = make(chan struct{})
	return &a, nil
}

// allServers is one question to several name servers. It is a net.PacketConn by its first socket: by that package net
// tells UDP from TCP.
type allServers struct {
	*net.UDPConn
	conns  []*net.UDPConn
	id     [2]byte // of the question
	open   int     // sockets that may still bring an answer
	refuse []byte  // the last answer that was a refusal
	heard  chan heard
	closed chan struct{}
}

// heard is a packet from one of the servers, or the end of its socket.
type heard struct {
	packet []byte
	err    error
}

// Write sends the question; it is called once.
func (a *allServers) Write(question []byte) (n int, err error) {
	if len(question) >= 2 {
		a.id = [2]byte(question)
	}
	for _, c := range a.conns {
		if _, werr := c.Write(question); werr != nil {
			err = errors.Join(err, werr)
			continue
		}
		a.open++
		go a.listen(c)
	}
	if a.open == 0 {
		return 0, err
	}
	return len(question), nil
}

// listen passes on what one server says, up to a refusal or an error.
func (a *allServers) listen(c *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err == nil && (n < 4 || [2]byte(buf) != a.id) {
			continue // no answer to this question
		}
		h := heard{append([]byte(nil), buf[:n]...), err}
		select {
		case a.heard <- h:
		case <-a.closed:
			return
		}
		if err != nil || refusal(h.packet) {
			return
		}
	}
}

// Read gives the first answer. One that says no more than that the server could not find out (SERVFAIL, REFUSED and the
// like) is given only when none of the others has a better one.
func (a *allServers) Read(b []byte) (int, error) {
	for a.open > 0 {
		var h heard
		select {
		case h = <-a.heard:
		case <-a.closed:
			return 0, net.ErrClosed
		}
		if h.err == nil && !refusal(h.packet) {
			return copy(b, h.packet), nil
		}
		a.open--
		if h.err == nil {
			a.refuse = h.packet
		}
		if a.open == 0 && a.refuse == nil {
			return 0, h.err
		}
	}
	if a.refuse == nil {
		return 0, os.ErrDeadlineExceeded
	}
	refuse := a.refuse
	a.refuse = nil
	return copy(b, refuse), nil
}

// refusal tells by the response code (RFC 1035, section 4.1.1) whether an answer is neither data nor "no such name".
func refusal(packet []byte) bool {
	const noError, nameError = 0, 3
	code := packet[3] & 0xf
	return code != noError && code != nameError
}

func (a *allServers) Close() error {
	close(a.closed)
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (a *allServers) SetDeadline(t time.Time) error {
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.SetDeadline(t))
	}
	return errors.Join(errs...)
}
