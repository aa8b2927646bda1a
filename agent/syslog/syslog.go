// Package syslog writes log lines to the system's log: one datagram to the socket where it listens, with priority,
// time, name and process.
//
// No line waits for the log. Where nothing listens, it goes to standard error instead. Where the log has no room at the
// moment, lines are kept and follow in order. When they are too many, the rest are dropped, and a line tells their
// number.
//
// The form is that of RFC 3164, section 4.1: <priority>Mmm dd hh:mm:ss name[process]: text. The time may not be left
// out: OpenWrt's logd (ubox 6f78fa4, log/syslog.c) takes 16 bytes away wherever the 16th is a space.
package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/slog"
)

// Path is where the system's log listens.
const Path = "/dev/log"

const (
	facility = 3 // daemon (RFC 3164, table 1)

	// maxText is how long the text of one datagram may be, in bytes: logd reads 1023 bytes (LOG_LINE_SIZE), and what
	// stands before the text has less than 80. More goes into further datagrams.
	maxText = 940

	// maxLate is how many datagrams are kept while the log has no room.
	maxLate = 64
)

// Options are for a handler.
type Options struct {
	Path    string     // of the log's socket; "" means Path
	Name    string     // of the program
	PID     int        // of the process
	Stderr  io.Writer  // for lines that the log does not take
	Handler NewHandler // gives the lines their form, without time and level
	Now     func() time.Time
}

// NewHandler makes a handler that writes its lines to w.
type NewHandler func(w io.Writer) slog.Handler

// New gives a handler that writes to the system's log.
func New(o Options) (slog.Handler, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("system log: %w", err)
	}
	if o.Path == "" {
		o.Path = Path
	}
	s := &sink{fd: fd, to: &unix.SockaddrUnix{Name: o.Path}, Options: o}
	return handler{s, o.Handler(&s.line)}, nil
}

// handler is a slog.Handler.
type handler struct {
	sink *sink
	text slog.Handler // writes to sink.line
}

func (h handler) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }
func (h handler) WithAttrs(a []slog.Attr) slog.Handler           { return handler{h.sink, h.text.WithAttrs(a)} }
func (h handler) WithGroup(name string) slog.Handler             { return handler{h.sink, h.text.WithGroup(name)} }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	h.sink.mu.Lock()
	defer h.sink.mu.Unlock()
	h.sink.line.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	h.sink.write(r.Level, bytes.TrimRight(h.sink.line.Bytes(), "\n"))
	return nil
}

// sink is where the lines of all handlers of one New end.
type sink struct {
	Options
	fd int
	to unix.Sockaddr

	mu   sync.Mutex
	line bytes.Buffer // the line in the making
	late []message    // what the log has no room for, the oldest first; a goroutine sends it
	lost int          // lines that were too many
}

// message is one datagram, and what goes to standard error in its place.
type message struct{ datagram, plain []byte }

// write sends a line, or keeps it. s.mu is held.
func (s *sink) write(l slog.Level, text []byte) {
	for first := true; first || len(text) > 0; first = false {
		part := text[:min(len(text), maxText)]
		text = text[len(part):]
		s.post(s.message(l, part))
	}
}

func (s *sink) message(l slog.Level, text []byte) message {
	return message{
		fmt.Appendf(nil, "<%d>%s %s[%d]: %s", facility<<3|severity(l), s.Now().Format(time.Stamp), s.Name, s.PID, text),
		fmt.Appendf(nil, "level=%s %s\n", l, text),
	}
}

// severity is that of RFC 3164, table 2.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

func (s *sink) post(m message) {
	switch {
	case len(s.late) >= maxLate:
		s.lost++
	case len(s.late) > 0:
		s.late = append(s.late, m)
	case !s.send(m, unix.MSG_DONTWAIT):
		s.late = append(s.late, m)
		go s.catchUp()
	}
}

// send says whether the message is done with: the log or standard error has it. With MSG_DONTWAIT it is not while the
// log has no room. The log is looked up anew each time: after its restart the socket is another one.
func (s *sink) send(m message, flags int) bool {
	for {
		err := unix.Sendto(s.fd, m.datagram, flags|unix.MSG_NOSIGNAL, s.to)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false
		default:
			s.Stderr.Write(m.plain)
		}
		return true
	}
}

// catchUp sends what is late, and waits for the log meanwhile.
func (s *sink) catchUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.late) > 0 {
		m := s.late[0]
		s.mu.Unlock()
		s.send(m, 0)
		s.mu.Lock()
		s.late = s.late[1:]
		if len(s.late) == 0 && s.lost > 0 {
			s.late = append(s.late, s.message(slog.LevelWarn,
				fmt.Appendf(nil, "msg=%q lines=%d", "lines are lost: the system log had no room", s.lost)))
			s.lost = 0
		}
	}
}
