package uplink

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wguplink/agent/hooks"
	"wguplink/agent/slog"
	"wguplink/agent/status"
)

// proof is how long a tunnel must have been alive for the firmware to count as one that it works with. A gateway that
// answers nothing inside is found to be mute before that.
const proof = time.Minute

// watchdog is for option update_watchdog: it tells when there has been no tunnel for too long with a firmware that none
// has worked with yet. Which firmware one has worked with is kept on flash, and written once for each.
type watchdog struct {
	file     string
	firmware string
	log      *slog.Logger

	read     bool
	proven   bool          // a tunnel has worked with this firmware
	spent    time.Duration // without a tunnel, while the WAN was up, before since
	since    time.Time     // when the present span of that began; the zero Time for none
	alive    time.Time     // since when there is a tunnel; the zero Time when there is none
	stranded bool
}

func newWatchdog(floorFile, uplink, firmware string, log *slog.Logger) watchdog {
	return watchdog{file: filepath.Join(filepath.Dir(floorFile), uplink+".firmware"), firmware: firmware, log: log}
}

// look takes what is so now. It tells whether the uplink is stranded from now on.
func (w *watchdog) look(now time.Time, limit time.Duration, wan, alive bool) (news bool) {
	if limit == 0 || w.firmware == "" {
		w.since, w.alive, w.stranded, w.spent = time.Time{}, time.Time{}, false, 0
		return false
	}
	if !w.read {
		b, err := os.ReadFile(w.file)
		w.read, w.proven = true, err == nil && strings.TrimSpace(string(b)) == w.firmware
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.log.Warn("which firmware the tunnel has worked with is not known", "err", err)
		}
	}
	if !alive {
		w.alive = time.Time{}
	} else if w.alive.IsZero() {
		w.alive = now
	}
	if alive && !w.proven && now.Sub(w.alive) >= proof {
		w.prove()
	}
	if counts := wan && !alive && !w.proven; counts && w.since.IsZero() {
		w.since = now
	} else if !counts && !w.since.IsZero() {
		w.spent, w.since = w.spent+now.Sub(w.since), time.Time{}
	}
	if at, ok := w.due(limit); ok && !now.Before(at) {
		w.stranded = true
		return true
	}
	return false
}

func (w *watchdog) prove() {
	w.proven, w.stranded, w.spent = true, false, 0
	if err := replace(w.file, []byte(w.firmware+"\n")); err != nil {
		w.log.Warn("that the tunnel works with this firmware is not kept; after a restart it counts as new", "err", err)
	}
}

// due is when the uplink is stranded, if nothing changes.
func (w *watchdog) due(limit time.Duration) (at time.Time, ok bool) {
	return w.since.Add(limit - w.spent), !w.since.IsZero() && !w.stranded && limit != 0
}

// next is when to look again though nothing happens.
func (w *watchdog) next(limit time.Duration) (at time.Time, ok bool) {
	if !w.alive.IsZero() && !w.proven && limit != 0 {
		return w.alive.Add(proof), true
	}
	return w.due(limit)
}

// guard has the watchdog look, and tells the log and the hooks.
func (l *loop) guard(now time.Time) {
	limit := l.cfg.UpdateWatchdog
	if limit == 0 && !l.watchdog.stranded {
		return
	}
	f := l.facts(now)
	if !l.watchdog.look(now, limit, f.WANUp, f.Link == status.Alive) {
		return
	}
	_, cause, reason := f.Cause()
	hours := int(limit / time.Hour)
	l.log.Warn("no tunnel since the firmware was updated", "hours", hours, "firmware", l.watchdog.firmware, "cause",
		cause, "reason", reason)
	if l.o.Hook != nil {
		e := l.hookFacts()
		e.Event, e.Hours, e.Firmware, e.Cause, e.Reason = hooks.Stranded, hours, l.watchdog.firmware,
			string(cause), reason
		l.o.Hook(e)
	}
}
