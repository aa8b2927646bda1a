package main

import (
	"io"
	"os"
	"time"

	"wguplink/agent/slog"
	"wguplink/agent/syslog"
)

// newLogger writes lines without a time: on a router the system log puts its own in front, and ours may be wrong yet.
func newLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// serviceLogger is for a service: it writes to the system log, where there is one. A service on a terminal is tried by
// hand and writes to standard error, and so does one that is told to.
func serviceLogger(name string, stderr io.Writer, level slog.Leveler, told bool) *slog.Logger {
	if stderr != os.Stderr || told || onTerminal() {
		return newLogger(stderr, level)
	}
	h, err := syslog.New(syslog.Options{Name: name, PID: os.Getpid(), Stderr: stderr, Now: time.Now,
		Handler: func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, NoLevel: true})
		}})
	if err != nil {
		log := newLogger(stderr, level)
		log.Warn("no system log", "err", err)
		return log
	}
	return slog.New(h)
}

// onTerminal says whether the process has a terminal: procd's and netifd's have none.
func onTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	tty.Close()
	return true
}
