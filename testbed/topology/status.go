package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/status"
)

// Status is what an agent tells of its uplink: the agent's own type, whose JSON the tests of agent/status hold in
// place.
type Status = status.Snapshot

// StatusFile is where the agent of a node keeps its status.
const StatusFile = "/var/run/wguplink/mesh.json"

// Connected says that a gateway is in use, and nothing in the way.
func Connected(s Status) bool { return s.State == status.Connected && s.Cause == status.None }

// ParseStatus reads what `wguplink status --json` has printed of the one uplink.
func ParseStatus(text string) (Status, error) {
	var all struct{ Uplinks map[string]Status }
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all.Uplinks) != 1 {
		return Status{}, fmt.Errorf("wguplink status: want one uplink: %v: %s", err, text)
	}
	for _, s := range all.Uplinks {
		return s, nil
	}
	panic("unreachable")
}

// Status asks the agent how it is.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	text, _, err := a.Run(ctx, "status", "--json")
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(text)
}

// Await waits until the agent's status is as wanted, by what it writes into its file. what completes "never …".
func (a *Agent) Await(ctx context.Context, what string, ok func(Status) bool) (s Status, err error) {
	var events *os.File
	err = a.on().Inside(func() error {
		dir := path.Dir(StatusFile)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return err
		}
		events = os.NewFile(uintptr(fd), "inotify")
		_, err = unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO)
		return err
	})
	if events != nil {
		defer events.Close()
	}
	if err != nil {
		return s, fmt.Errorf("watch %s: %w", StatusFile, err)
	}
	defer context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Now()) })()
	for buf := make([]byte, 4096); ; {
		text, err := a.on().ReadFile(StatusFile)
		if err == nil {
			s = Status{}
			err = json.Unmarshal(text, &s)
		}
		switch {
		case err == nil && ok(s):
			return s, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return s, fmt.Errorf("%s: %w", StatusFile, err)
		}
		if _, err := events.Read(buf); err != nil {
			return s, fmt.Errorf("status never %s; it is %+v: %w", what, s, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// ShortName is a gateway's name without its domain: the broker gives the one, the configuration's section the other.
func ShortName(name string) string {
	if _, err := netip.ParseAddrPort(name); err == nil {
		return name
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}
