package hooks

import (
	"bytes"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxLine  = 512 // bytes of one line of output that are kept
	maxLines = 100 // lines of one run that go to the log

	// pipeSize is what a pipe holds (pipe(7)): more than that was not in it when the hook ended.
	pipeSize = 64 << 10
)

// lines cuts a hook's output into lines for the log, and bounds them.
type lines struct {
	say  func(string)
	last string // the last one that is not empty
	line []byte // begun, at most maxLine bytes
	cut  bool   // line was longer
	n    int
	buf  [4096]byte
}

func newLines(say func(string)) *lines { return &lines{say: say} }

// copy reads until the end, or until the file's deadline.
func (l *lines) copy(f *os.File) {
	for {
		n, err := f.Read(l.buf[:])
		l.add(l.buf[:n])
		if err != nil {
			return
		}
	}
}

// drain takes what is in the pipe now. It does not wait.
func (l *lines) drain(f *os.File) {
	// A Read after the deadline gives nothing, even if something is there.
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	conn.Control(func(fd uintptr) {
		for total := 0; total < pipeSize; {
			n, err := unix.Read(int(fd), l.buf[:]) // never blocks: os.Pipe makes our end so
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			total += n
			l.add(l.buf[:n])
		}
	})
}

func (l *lines) add(b []byte) {
	for {
		before, after, found := bytes.Cut(b, []byte{'\n'})
		room := maxLine - len(l.line)
		if len(before) > room {
			before, l.cut = before[:room], true
		}
		l.line = append(l.line, before...)
		if !found {
			return
		}
		l.flush()
		b = after
	}
}

// end says a last line that had no newline.
func (l *lines) end() { l.flush() }

func (l *lines) flush() {
	s := strings.TrimRight(strings.ToValidUTF8(string(l.line), "\uFFFD"), " \t\r")
	if l.cut {
		s += "…"
	}
	l.line, l.cut = l.line[:0], false
	if s == "" {
		return
	}
	l.last = s
	l.n++
	switch {
	case l.n <= maxLines:
		l.say(s)
	case l.n == maxLines+1:
		l.say("… (more is left out)")
	}
}
