// Package browser drives a headless Chromium by its DevTools protocol over a pipe (--remote-debugging-pipe: messages in
// JSON on file descriptors 3 and 4, each ended by a zero byte). No port is opened, and the browser ends with the pipe.
package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Name is the program, and Debian's package of it.
const Name = "chromium"

// Browser is a running Chromium with one page. Its methods may be called from several goroutines.
type Browser struct {
	cmd     *exec.Cmd
	dir     string
	said    bytes.Buffer // on standard error; read it when gone is closed and the program was waited for
	to      io.WriteCloser
	session string

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	errors  []string
	gone    chan struct{}
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts Chromium with an empty page of 1280 by 700 pixels; start starts the command, where that matters: in the
// namespace of a host of the lab. language is what the page is told, such as "de".
func Start(ctx context.Context, language string, start func(*exec.Cmd) error) (b *Browser, err error) {
	path, err := exec.LookPath(Name)
	if err != nil {
		return nil, fmt.Errorf("%w: scripts/setup luci installs it", err)
	}
	b = &Browser{waiting: map[int]chan message{}, gone: make(chan struct{})}
	if b.dir, err = os.MkdirTemp("", "wguplink-browser-"); err != nil {
		return nil, err
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// As root there is no sandbox; the pages are ours.
	b.cmd = exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
		"--user-data-dir="+b.dir, "--lang="+language, "--window-size=1280,700",
		"--remote-debugging-pipe", "about:blank")
	b.cmd.Env = append(os.Environ(), "HOME="+b.dir, "LANGUAGE="+language, "DBUS_SESSION_BUS_ADDRESS=disabled:")
	b.cmd.Stderr = &b.said
	b.cmd.ExtraFiles = []*os.File{theirs, theirOut}
	b.to = to
	err = start(b.cmd)
	theirs.Close()
	theirOut.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), os.RemoveAll(b.dir))
	}
	go b.receive(from)
	if err := b.attach(ctx); err != nil {
		err = errors.Join(err, b.Close())
		return nil, fmt.Errorf("%w; %s said: %s", err, path, &b.said)
	}
	return b, nil
}

// attach takes the first page.
func (b *Browser) attach(ctx context.Context) error {
	var made struct {
		TargetID string `json:"targetId"`
	}
	if err := b.call(ctx, "Target.createTarget", map[string]any{"url": "about:blank"}, &made); err != nil {
		return err
	}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	err := b.call(ctx, "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	if err != nil {
		return err
	}
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		if err := b.call(ctx, domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	return b.call(ctx, "Emulation.setDeviceMetricsOverride",
		map[string]any{"width": 1280, "height": 700, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// call sends a command and waits for its result.
func (b *Browser) call(ctx context.Context, method string, params, result any) error {
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if params == nil {
		raw = nil
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m := message{ID: b.last, Method: method, Params: raw, SessionID: b.session}
	b.waiting[m.ID] = answer
	raw, err = json.Marshal(m)
	if err == nil {
		_, err = b.to.Write(append(raw, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("browser: %s: %w", method, err)
	}
	select {
	case m = <-answer:
	case <-b.gone:
		return fmt.Errorf("browser: %s: the browser has ended", method)
	case <-ctx.Done():
		return fmt.Errorf("browser: %s: %w", method, context.Cause(ctx))
	}
	if m.Error != nil {
		return fmt.Errorf("browser: %s: %s", method, m.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

func (b *Browser) receive(from io.ReadCloser) {
	defer close(b.gone)
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		if c := b.waiting[m.ID]; m.ID != 0 && c != nil {
			delete(b.waiting, m.ID)
			c <- m
		} else {
			b.event(m)
		}
		b.mu.Unlock()
	}
}

// event keeps what a page should never say: exceptions, and errors on its console.
func (b *Browser) event(m message) {
	switch m.Method {
	case "Runtime.exceptionThrown":
		b.errors = append(b.errors, string(m.Params))
	case "Log.entryAdded", "Runtime.consoleAPICalled":
		var said struct {
			Type  string `json:"type"`
			Entry struct {
				Level string `json:"level"`
			} `json:"entry"`
		}
		if json.Unmarshal(m.Params, &said) == nil && (said.Type == "error" || said.Entry.Level == "error") {
			b.errors = append(b.errors, string(m.Params))
		}
	}
}

// Errors are the exceptions and console errors of all pages so far.
func (b *Browser) Errors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.errors...)
}

// Open goes to a page.
func (b *Browser) Open(ctx context.Context, url string) error {
	var went struct {
		ErrorText string `json:"errorText"`
	}
	if err := b.call(ctx, "Page.navigate", map[string]any{"url": url}, &went); err != nil {
		return err
	}
	if went.ErrorText != "" {
		return fmt.Errorf("browser: open %s: %s", url, went.ErrorText)
	}
	return nil
}

// Eval evaluates an expression in the page, waits for it if it is a promise, and stores what it gives; to may be nil.
func (b *Browser) Eval(ctx context.Context, expression string, to any) error {
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		ExceptionDetails *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := b.call(ctx, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true,
		"returnByValue": true}, &out)
	if err != nil {
		return err
	}
	if e := out.ExceptionDetails; e != nil {
		return fmt.Errorf("browser: %s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if to == nil || len(out.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(out.Result.Value, to)
}

// Until waits until an expression is true. It looks again with each frame that the page draws, and survives a page that
// is on its way to another.
func (b *Browser) Until(ctx context.Context, expression string) error {
	wait := "new Promise(done => { const look = () => { let ok = false; try { ok = !!(" + expression +
		"); } catch (e) {} ok ? done(true) : requestAnimationFrame(look); }; look(); })"
	for {
		var ok bool
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := b.Eval(one, wait, &ok)
		late := one.Err() != nil
		cancel()
		switch {
		case err == nil && ok:
			return nil
		case ctx.Err() != nil:
			var text string
			b.Eval(context.WithoutCancel(ctx), "document.body ? document.body.innerText : ''", &text)
			return fmt.Errorf("browser: wait for %s: %w; the page says:\n%s", expression, context.Cause(ctx), text)
		case err != nil && !late && !strings.Contains(err.Error(), "context") &&
			!strings.Contains(err.Error(), "navigat"):
			return err
		}
	}
}

// Screenshot draws the whole page as PNG.
func (b *Browser) Screenshot(ctx context.Context) ([]byte, error) {
	var size struct {
		Content struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	if err := b.call(ctx, "Page.getLayoutMetrics", nil, &size); err != nil {
		return nil, err
	}
	var shot struct {
		Data string `json:"data"`
	}
	err := b.call(ctx, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": size.Content.Width, "height": size.Content.Height, "scale": 1}},
		&shot)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(shot.Data)
}

// Close ends the browser and removes its files.
func (b *Browser) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b.session = ""
	if b.call(ctx, "Browser.close", nil, nil) != nil {
		b.cmd.Process.Kill()
	}
	b.to.Close()
	<-b.gone
	b.cmd.Wait()
	return os.RemoveAll(b.dir)
}
