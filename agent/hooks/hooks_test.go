package hooks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/slog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a Runner at work on a folder of its own.
type bench struct {
	*Runner
	t       *testing.T
	dir     string // the hooks
	scratch string // $SCRATCH in them
	results chan Result
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned

	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// newBench makes a Runner; start runs it.
func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), scratch: t.TempDir(), results: make(chan Result, 1000),
		done: make(chan struct{})}
	if o.Dir == "" {
		o.Dir = b.dir
	}
	t.Setenv("SCRATCH", b.scratch)
	if err := os.Chmod(b.dir, 0o755); err != nil { // the umask does not count
		t.Fatal(err)
	}
	o.Log = slog.New(jsonHandler{b: b})
	o.OnResult = func(_ string, r Result) { b.results <- r }
	b.Runner = New(o)
	return b
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() {
		defer close(b.done)
		b.Run(ctx)
	}()
	b.t.Cleanup(b.stop)
}

func (b *bench) stop() {
	b.cancel()
	<-b.done
}

// hook writes a shell script into the folder.
func (b *bench) hook(name, script string) {
	b.t.Helper()
	b.file(name, "#!/bin/sh\n"+script+"\n", 0o755)
}

func (b *bench) file(name, text string, mode os.FileMode) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		b.t.Fatal(err)
	}
}

// fifo makes $SCRATCH/name.
func (b *bench) fifo(name string) string {
	b.t.Helper()
	path := filepath.Join(b.scratch, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// open waits until the other side has opened the pipe, too.
func open(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// read is the content of $SCRATCH/name.
func (b *bench) read(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.scratch, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// next waits for the end of a hook.
func (b *bench) next() Result {
	b.t.Helper()
	select {
	case r := <-b.results:
		return r
	case <-time.After(30 * time.Second):
		b.t.Fatalf("no hook ended; the log:\n%s", b.buf.String())
	}
	return Result{}
}

// jsonHandler writes a line of JSON for each record, so that log can read it.
type jsonHandler struct {
	b     *bench
	attrs []slog.Attr
}

func (h jsonHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h jsonHandler) WithGroup(string) slog.Handler                { panic("no hook's line has a group") }
func (h jsonHandler) WithAttrs(all []slog.Attr) slog.Handler {
	return jsonHandler{h.b, append(h.attrs[:len(h.attrs):len(h.attrs)], all...)}
}

func (h jsonHandler) Handle(_ context.Context, r slog.Record) error {
	line := map[string]any{"level": r.Level.String(), "msg": r.Message}
	for _, a := range append(h.attrs[:len(h.attrs):len(h.attrs)], r.Attrs...) {
		line[a.Key] = a.Value.Any()
		if err, ok := line[a.Key].(error); ok {
			line[a.Key] = err.Error()
		}
	}
	return json.NewEncoder(h.b).Encode(line)
}

// record is a line of the log.
type record struct {
	Level, Msg, Hook, Uplink, Event, Line, Path, Reason, Err, Signal string
	Code                                                             int
	LeftOut                                                          []string `json:"left_out"`
}

func (b *bench) log() (all []record) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := bufio.NewScanner(strings.NewReader(b.buf.String()))
	for s.Scan() {
		var r record
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}
