//go:build !nobroker

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/api"
	"wguplink/agent/config"
	"wguplink/agent/json"
	"wguplink/agent/status"
	"wguplink/agent/ubus"
)

// watchStatus prints the status, then each change as it comes, until a signal. With --json it prints one object a line.
func watchStatus(c call) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return about(func(c call, uplinks []config.Uplink) int { return follow(ctx, c, uplinks) })(c)
}

func follow(ctx context.Context, c call, uplinks []config.Uplink) int {
	news := make(chan error, 1)
	if err := watchFiles(ctx, c.run, news); err != nil {
		return c.fail(fmt.Errorf("watch %s: %w", c.run, err))
	}
	bus, err := ubus.Dial(ctx, c.ubus)
	if err == nil { // without it the files tell, as long as there is room for them
		defer bus.Close()
		if err := bus.Listen(ctx, api.EventName, func(string, ubus.Table) { poke(news, nil) }); err != nil {
			fmt.Fprintln(c.stderr, err)
		}
	}
	last := map[string]status.Snapshot{}
	for {
		all, err := statusNow(c.options, uplinks)
		if err != nil {
			return c.fail(err)
		}
		if !tell(c, all, last) {
			return exitFailed
		}
		select {
		case err := <-news:
			if err != nil && ctx.Err() == nil {
				return c.fail(fmt.Errorf("watch %s: %w", c.run, err))
			}
		case <-ctx.Done():
			return healthOf(uplinks, all)
		}
	}
}

// poke hands news over, unless some are waiting already.
func poke(news chan<- error, err error) {
	select {
	case news <- err:
	default:
	}
}

// tell prints what is new since last, and makes it the last.
func tell(c call, all []status.Snapshot, last map[string]status.Snapshot) (ok bool) {
	first := len(last) == 0
	var lines []string
	for _, s := range all {
		was, known := last[s.Uplink]
		last[s.Uplink] = s
		if known {
			lines = append(lines, newChanges(was, s)...)
		}
	}
	switch {
	case c.json && (first || len(lines) > 0):
		return printLine(c, all)
	case c.json:
	case first:
		return printStatus(c, all)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(c.stdout, l); err != nil {
			return false
		}
	}
	return true
}

// newChanges gives a line for each change of an uplink since was, with the time of day as this clock has it now.
func newChanges(was, is status.Snapshot) (lines []string) {
	line := func(age int64, what string) {
		at := time.Now().Add(-time.Duration(age) * time.Second)
		lines = append(lines, at.Format("15:04:05 ")+is.Uplink+": "+what)
	}
	if is.State == status.Stopped {
		if was.State != status.Stopped {
			line(0, "stopped: "+is.Reason)
		}
		return lines
	}
	var seen status.Uptime
	if n := len(was.Changes); n > 0 && was.PID == is.PID {
		seen = was.Changes[n-1].At
	}
	for _, ch := range is.Changes {
		if ch.At > seen {
			line(ch.Age, ch.String())
		}
	}
	return lines
}

// printLine prints what --json does, in one line.
func printLine(c call, all []status.Snapshot) (ok bool) {
	var b bytes.Buffer
	if !printStatus(call{options: c.options, stdout: &b, stderr: c.stderr}, all) {
		return false
	}
	line, err := json.Compact(nil, b.Bytes())
	if err != nil {
		return false
	}
	_, err = c.stdout.Write(append(line, '\n'))
	return err == nil
}

// watchFiles tells of each change of a status file, and of the end of an agent, whose lock file is closed then.
func watchFiles(ctx context.Context, dir string, news chan<- error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // the agent would make it just so
		return err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	file := os.NewFile(uintptr(fd), "inotify")
	const mask = unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		file.Close()
		return os.NewSyscallError("inotify_add_watch", err)
	}
	context.AfterFunc(ctx, func() { file.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := file.Read(buf)
			if err != nil {
				poke(news, err)
				return
			}
			// A name that ends in .tmp is a file that is not in place yet.
			if s := string(buf[:n]); strings.Contains(s, ".json\x00") || strings.Contains(s, ".lock\x00") {
				poke(news, nil)
			} else if bytes.IndexByte(buf[:n], '.') < 0 { // about the folder itself
				poke(news, fmt.Errorf("the folder is gone: %w", os.ErrNotExist))
				return
			}
		}
	}()
	return nil
}
