package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// endMark is a line that the lab itself writes into a program's output pipes
// after its end. All that the program wrote is before it, even where a child
// holds the pipe open and goes on writing.
const endMark = "\x00netlab: end\x00"

// maxLine bounds the memory that output without a newline can take, in bytes.
const maxLine = 1 << 20

// output collects a program's standard output and error as lines.
type output struct {
	pipes   [2]*os.File // writing ends
	ended   chan struct{}
	pending sync.WaitGroup // pipes without an end mark yet

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed and replaced with each line
}

// newOutput opens the pipes and starts reading them, which goes on until the
// last program that holds them is gone.
func newOutput(stdout, stderr io.Writer) (*output, error) {
	o := &output{changed: make(chan struct{}), ended: make(chan struct{})}
	var readers [2]*os.File
	for i := range o.pipes {
		r, w, err := os.Pipe()
		if err != nil {
			if i > 0 {
				readers[0].Close()
				o.pipes[0].Close()
			}
			return nil, fmt.Errorf("pipe for output: %w", err)
		}
		readers[i], o.pipes[i] = r, w
	}
	o.pending.Add(len(readers))
	go o.read(readers[0], stdout)
	go o.read(readers[1], stderr)
	return o, nil
}

// finish says that the program has ended, and returns once all its output is in.
func (o *output) finish() {
	for _, w := range o.pipes {
		_, _ = io.WriteString(w, endMark+"\n")
		w.Close()
	}
	o.pending.Wait()
	close(o.ended)
}

func (o *output) read(r *os.File, tee io.Writer) {
	defer r.Close()
	end := sync.OnceFunc(o.pending.Done)
	defer end()
	var line []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			head, tail, complete := bytes.Cut(rest, []byte("\n"))
			line = append(line, head...)
			rest = tail
			if !complete && len(line) < maxLine {
				break
			}
			text, ended := bytes.CutSuffix(line, []byte(endMark))
			if len(text) > 0 || !ended {
				o.add(string(text), tee)
			}
			if ended {
				end()
			}
			line = line[:0]
		}
		if err != nil {
			if len(line) > 0 {
				o.add(string(line), tee)
			}
			return
		}
	}
}

func (o *output) add(line string, tee io.Writer) {
	if tee != nil {
		_, _ = io.WriteString(tee, line+"\n")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
	close(o.changed)
	o.changed = make(chan struct{})
}

// from returns the lines after the first n and a channel that is closed when
// there are more.
func (o *output) from(n int) ([]string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lines[min(n, len(o.lines)):]), o.changed
}

// errEnded is what waiting for a line comes to when the program ends without it.
var errEnded = errors.New("the program ended without it")
