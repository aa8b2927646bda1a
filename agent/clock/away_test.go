//go:build go1.25

package clock

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wguplink/agent/clock/clocktest"
)

// A server's address of a family that the node has no way by is not worth a warning while others have told the time.
func TestKeeperAway(t *testing.T) {
	for _, tt := range []struct {
		err  error
		away bool
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", unix.EAFNOSUPPORT)}, true},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ENETUNREACH)}, true},
		{fmt.Errorf("way: %w", unix.EADDRNOTAVAIL), true},
		{fmt.Errorf("read: %w", unix.ECONNREFUSED), false},
		{unix.EPERM, false},
	} {
		if got := away(tt.err); got != tt.away {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
	k := keep(t, today, Settings{})
	all := []Refusal{{From: "ntp1", Reason: "query failed", Away: true}, {From: "ntp2", Reason: "kiss of death"}}
	k.tell(all, true)
	if log := k.log.String(); strings.Contains(log, "ntp1") || !strings.Contains(log, "ntp2") {
		t.Errorf("with a clock that is right: %s", log)
	}
	k.log.Reset()
	k.tell(all, false)
	if log := k.log.String(); !strings.Contains(log, "ntp1") || !strings.Contains(log, "ntp2") {
		t.Errorf("with none: %s", log)
	}
}

// What a query found out of the way reaches the result.
func TestAwayOfServer(t *testing.T) {
	g := New(Options{
		System: clocktest.At(today), Servers: []string{"2001:db8::1"}, Build: build,
		FloorFile: filepath.Join(t.TempDir(), "last-time"),
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", unix.EAFNOSUPPORT)}
		},
	})
	res, _ := g.Check(t.Context())
	for _, r := range res.Refused {
		if r.From == "2001:db8::1" && r.Away {
			return
		}
	}
	t.Errorf("%+v", res.Refused)
}
