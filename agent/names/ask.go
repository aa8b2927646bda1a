package names

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// repeatAfter is how long a question waits for its answer before it is sent again, doubled each time: package net would
// wait five seconds for what one lost packet costs.
const repeatAfter = time.Second

// askAll opens a socket that puts each question to all the name servers at once. Package net would wait five seconds
// for a dead server before it asks the next, which is longer than we have. A server on a dead address family is common.
func askAll(ctx context.Context, d net.Dialer, servers []string, codes *codes) (net.Conn, error) {
	a := allServers{codes: codes, heard: make(chan heard), closed: make(chan struct{})}
	var last error
	for _, s := range servers {
		c, err := d.DialContext(ctx, "udp", s)
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
	return &a, nil
}

// allServers is one question to several name servers. It is a net.PacketConn by its first socket: by that package net
// tells UDP from TCP.
type allServers struct {
	*net.UDPConn
	codes  *codes
	conns  []*net.UDPConn
	id     [2]byte // of the question
	open   int     // sockets that may still bring an answer
	refuse []byte  // the last answer that was a refusal
	heard  chan heard
	closed chan struct{}
	once   sync.Once
}

// heard is a packet from one of the servers, or the end of its socket.
type heard struct {
	packet []byte
	err    error
}

// Write sends the question; it is called once.
func (a *allServers) Write(question []byte) (n int, err error) {
	plain := withoutEDNS(question)
	if len(question) >= 2 {
		a.id = [2]byte(question)
	}
	for _, c := range a.conns {
		if _, werr := c.Write(plain); werr != nil {
			err = errors.Join(err, werr)
			continue
		}
		a.open++
		go a.listen(c)
	}
	if a.open == 0 {
		return 0, err
	}
	go a.repeat(plain)
	return len(question), nil
}

// repeat sends the question again and again, until the end.
func (a *allServers) repeat(question []byte) {
	for wait := repeatAfter; ; wait *= 2 {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-a.closed:
			t.Stop()
			return
		}
		for _, c := range a.conns {
			_, _ = c.Write(question) // its reader hears of what is wrong
		}
	}
}

// listen passes on what one server says, up to a refusal or an error.
func (a *allServers) listen(c *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err == nil && (n < headerSize || [2]byte(buf) != a.id) {
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
		if h.err == nil {
			a.codes.note(h.packet)
			a.codes.keep(h.packet)
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

// Close ends all sockets.
func (a *allServers) Close() error {
	a.once.Do(func() { close(a.closed) })
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// SetDeadline sets that of all sockets.
func (a *allServers) SetDeadline(t time.Time) error {
	var errs []error
	for _, c := range a.conns {
		errs = append(errs, c.SetDeadline(t))
	}
	return errors.Join(errs...)
}
