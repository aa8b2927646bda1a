package names

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// tcpWait is how long a whole answer may take by TCP, when a part of it has come by UDP. Package net gives up after
// five seconds.
const tcpWait = 2 * time.Second

var errOddTCP = errors.New("an odd message by TCP")

// stream is one question over TCP, which is put to all the name servers at once, for package net. Where none answers,
// the answer is the part that has come by UDP: servers that speak no TCP are common in home routers.
type stream struct {
	ctx     context.Context // of the dialling: a Write has none of its own
	dial    net.Dialer
	servers []string
	codes   *codes
	answer  []byte // what is left of it to read
}

// Write takes one whole question, with its length before it (RFC 1035 section 4.2.2), and gets the answer.
func (s *stream) Write(b []byte) (int, error) {
	if len(b) < 2+headerSize || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return 0, errOddTCP
	}
	ctx, part := s.ctx, s.codes.kept([2]byte(b[2:]))
	if part != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, tcpWait)
		defer cancel()
	}
	m, err := s.askAll(ctx, withoutEDNS(b[2:]))
	if part != nil && (err != nil || refusal(m)) {
		m, err = part, nil
	}
	if err != nil {
		return 0, err
	}
	s.answer = append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
	return len(b), nil
}

// askAll gives the first answer; a refusal only when none of the servers has a better one.
func (s *stream) askAll(ctx context.Context, question []byte) (m []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := make(chan heard, len(s.servers))
	for _, server := range s.servers {
		go func() {
			m, err := s.askOne(ctx, server, question)
			all <- heard{m, err}
		}()
	}
	err = errOddTCP // for no server at all
	for range s.servers {
		h := <-all
		if h.err != nil {
			err = h.err
			continue
		}
		s.codes.note(h.packet)
		if m = h.packet; !refusal(m) {
			return m, nil
		}
	}
	if m != nil {
		return m, nil
	}
	return nil, err
}

func (s *stream) askOne(ctx context.Context, server string, question []byte) ([]byte, error) {
	c, err := s.dial.DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, m); err != nil {
		return nil, err
	}
	if len(m) < headerSize || [2]byte(m) != [2]byte(question) {
		return nil, errOddTCP
	}
	return m, nil
}

// Read gives the answer, with its length before it.
func (s *stream) Read(b []byte) (int, error) {
	if len(s.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.answer)
	s.answer = s.answer[n:]
	return n, nil
}

// The rest of net.Conn. All is over when Write has returned, and the context ends it.

func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *stream) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
