package uci

import (
	"bytes"
	"fmt"
	"math"
)

// ParseError says what is wrong with a file, in the words of libuci. Line counts the line ends that were read so far,
// and Byte, from 0, is how far the reader got into the statement; a statement that goes on over several lines is one.
type ParseError struct {
	Reason string
	Line   int
	Byte   int
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("Parse error (%s) at line %d, byte %d", e.Reason, e.Line, e.Byte)
}

// lexer splits text into statements and words. Its rules are those of libuci's file.c, whose reader works within one
// buffer of C strings; the odd ones (NUL, a semicolon after a bare word) follow from that.
type lexer struct {
	in   []byte // not read yet
	line []byte // the statement at hand, with line end; one that goes on in the next line grows at its end
	pos  int    // 0 <= pos <= len(line)
	// lines counts line ends, for messages.
	lines int
	// size is that of libuci's buffer. It decides how much of a line a NUL takes away.
	size int
}

func newLexer(text []byte) *lexer { return &lexer{in: text, size: 32} }

// next goes to the next statement. It gives false at the end of the text. The statement may be empty.
func (l *lexer) next() bool {
	if len(l.in) == 0 {
		return false
	}
	l.pos = 0
	l.fill()
	return true
}

// fill replaces what is after pos with the next line. Nothing comes at the end of the text, or when a NUL is next.
func (l *lexer) fill() {
	l.line = l.line[:l.pos]
	if l.pos >= l.size-1 {
		l.grow()
	}
	for {
		n := min(l.size-1-len(l.line), len(l.in))
		if n <= 0 {
			return
		}
		if i := bytes.IndexByte(l.in[:n], '\n'); i >= 0 {
			n = i + 1
		}
		chunk := l.in[:n]
		l.in = l.in[n:]
		if i := bytes.IndexByte(chunk, 0); i >= 0 {
			chunk = chunk[:i]
		}
		if len(chunk) == 0 {
			return
		}
		l.line = append(l.line, chunk...)
		if chunk[len(chunk)-1] == '\n' {
			l.lines++
			return
		}
		l.grow()
	}
}

func (l *lexer) grow() {
	if l.size <= math.MaxInt32/2 {
		l.size *= 2
	}
}

func (l *lexer) fail(reason string) error {
	return &ParseError{Reason: reason, Line: l.lines, Byte: l.pos}
}

// peek gives the byte at pos, or 0 at the end.
func (l *lexer) peek() byte {
	if l.pos == len(l.line) {
		return 0
	}
	return l.line[l.pos]
}

// take gives the byte at pos, which must be there, and goes past it.
func (l *lexer) take() byte {
	l.pos++
	return l.line[l.pos-1]
}

// cut makes pos the end of the statement.
func (l *lexer) cut() { l.line = l.line[:l.pos] }

func (l *lexer) space() {
	for isSpace(l.peek()) {
		l.pos++
	}
}

// keyword gives the first word of a statement and the place right after it. It does not move pos, so that an error
// about the word points at its start. Only blanks and tabs end the word: not the line end, which is one more byte of
// it.
func (l *lexer) keyword() (word string, end int) {
	start := l.pos
	for start < len(l.line) && (l.line[start] == ' ' || l.line[start] == '\t') {
		start++
	}
	end = start
	for end < len(l.line) && l.line[end] != ' ' && l.line[end] != '\t' {
		end++
	}
	return string(l.line[start:end]), end
}

// word gives the next word, without quotes; it is empty at the end of the statement.
func (l *lexer) word() (string, error) {
	l.space()
	if l.peek() == ';' {
		l.pos++
		return "", nil
	}
	var out []byte
	start := l.pos
	for {
		var err error
		switch c := l.peek(); c {
		case 0:
			return string(out), nil
		case '#':
			l.cut()
			return string(out), nil
		case ';':
			// In place, a word without quotes or backslashes leaves no room for its final NUL but the semicolon's.
			if start+len(out) == l.pos {
				l.cut()
			}
			return string(out), nil
		case '\'', '"':
			out, err = l.quoted(c, out)
		case '\\':
			if l.escaped() {
				out = append(out, l.take())
			}
		default:
			out = append(out, l.take())
		}
		if err != nil {
			return "", err
		}
		if isSpace(l.peek()) {
			l.pos++
			return string(out), nil
		}
	}
}

// quoted appends what is within quotes to out. It may go over several lines.
func (l *lexer) quoted(quote byte, out []byte) ([]byte, error) {
	l.pos++
	for {
		switch c := l.peek(); {
		case c == quote:
			l.pos++
			return out, nil
		case c == 0:
			l.fill()
			if l.peek() == 0 {
				return nil, l.fail("EOF with unterminated " + string(quote))
			}
		case c == '\\' && quote == '"':
			if l.escaped() {
				out = append(out, l.take())
			}
		default:
			out = append(out, l.take())
		}
	}
}

// escaped goes past a backslash. It says whether a byte follows that is to be taken as it is; if not, the backslash was
// the last one of its line, and the next line has taken its place.
func (l *lexer) escaped() bool {
	l.pos++
	switch rest := l.line[l.pos:]; {
	case len(rest) == 0, rest[0] == '\n', string(rest) == "\r\n":
		l.fill()
		return false
	}
	return true
}
