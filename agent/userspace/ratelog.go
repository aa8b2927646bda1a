//go:build userspace

package userspace

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	logBurst    = 8                // lines at once
	logInterval = 10 * time.Second // then one line in this time
)

// rateLog writes lines, but not many: a peer or a broken route can make the device report an error for each packet.
type rateLog struct {
	w      io.Writer
	prefix string
	now    func() time.Time

	mu         sync.Mutex
	credit     time.Duration // logInterval buys a line
	last       time.Time
	suppressed int
}

func newRateLog(w io.Writer, prefix string, now func() time.Time) *rateLog {
	return &rateLog{w: w, prefix: prefix, now: now, credit: logBurst * logInterval, last: now()}
}

func (l *rateLog) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.credit = min(l.credit+now.Sub(l.last), logBurst*logInterval)
	l.last = now
	if l.credit < logInterval {
		l.suppressed++
		return
	}
	l.credit -= logInterval
	suffix := ""
	if l.suppressed > 0 {
		suffix = fmt.Sprintf(" (and %d lines left out before)", l.suppressed)
		l.suppressed = 0
	}
	fmt.Fprintf(l.w, "%s%s%s\n", l.prefix, fmt.Sprintf(format, args...), suffix)
}
