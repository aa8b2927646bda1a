//go:build !nobroker

package httpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"wguplink/agent/printable"
)

// maxChunkOverhead bounds the lines between chunks of one body, in bytes: a chunk may carry more extension than data.
const maxChunkOverhead = 16 << 10

// readBody reads the body as its framing says (RFC 9112 section 6.3): in chunks, of a given length, or up to the end of
// the connection.
func (r *Response) readBody(br *bufio.Reader, maxBody int) error {
	body, err := r.framed(br)
	if err != nil {
		return err
	}
	r.Body, err = io.ReadAll(io.LimitReader(body, int64(maxBody)+1))
	if len(r.Body) > maxBody {
		r.Body, r.Big = r.Body[:maxBody], true
		return nil
	}
	if err != nil {
		return &BrokenOffError{len(r.Body), err}
	}
	return nil
}

// framed gives a reader of the body that ends where the body does, and fails where it is cut off.
func (r *Response) framed(br *bufio.Reader) (io.Reader, error) {
	if te := r.Header.Values("Transfer-Encoding"); len(te) > 0 {
		if len(te) > 1 || !strings.EqualFold(te[0], "chunked") {
			return nil, fmt.Errorf("transfer encoding %q, only chunked is known",
				printable.Text(strings.Join(te, ", "), 60))
		}
		return &chunks{br: br}, nil
	}
	lengths := r.Header.Values("Content-Length")
	if len(lengths) == 0 {
		return br, nil
	}
	for _, l := range lengths[1:] {
		if l != lengths[0] {
			return nil, fmt.Errorf("two lengths, %q and %q", printable.Text(lengths[0], 30), printable.Text(l, 30))
		}
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil {
		return nil, fmt.Errorf("content length %q is no number of bytes", printable.Text(lengths[0], 30))
	}
	return &exactly{r: br, left: n}, nil
}

// exactly fails when there is less than was promised.
type exactly struct {
	r    io.Reader
	left uint64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if uint64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= uint64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// chunks reads a body in chunks (RFC 9112 section 7.1), up to the last one. The trailer after it is not read.
type chunks struct {
	br       *bufio.Reader
	now      exactly // what is left of the present chunk
	begun    bool
	overhead int
	err      error
}

func (c *chunks) Read(p []byte) (int, error) {
	for c.err == nil && c.now.left == 0 {
		c.err = c.next()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.now.Read(p)
	if err != nil {
		c.err = err
	}
	return n, err
}

// next reads the line that begins a chunk; io.EOF after the last one.
func (c *chunks) next() error {
	if c.begun {
		if line, err := c.line(); err != nil {
			return err
		} else if line != "" {
			return errors.New("a chunk does not end where it should")
		}
	}
	c.begun = true
	line, err := c.line()
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 63)
	if err != nil {
		return fmt.Errorf("%q is no length of a chunk", printable.Text(size, 30))
	}
	if n == 0 {
		return io.EOF
	}
	c.now = exactly{r: c.br, left: n}
	return nil
}

// line gives the next one without its end.
func (c *chunks) line() (string, error) {
	b, err := c.br.ReadSlice('\n')
	c.overhead += len(b)
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || c.overhead > maxChunkOverhead:
		return "", fmt.Errorf("more than %d bytes between the chunks", maxChunkOverhead)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return strings.TrimSuffix(string(b[:len(b)-1]), "\r"), nil
}
