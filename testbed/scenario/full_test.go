package scenario

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wguplink/testbed/topology"
)

// A /var/run without room, or read-only, for as much as the lock of the uplink does not keep a node from its mesh. It
// is said once.
func TestNoRoomForTheLock(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]uintptr{"full": 0, "read-only": unix.MS_RDONLY} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, topology.Options{Gateways: 1}, nil)
			n.must(n.Node.Inside(func() error {
				const dir = "/var/run/wguplink"
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
				return unix.Mount("tmpfs", dir, "tmpfs", flags, "nr_inodes=1")
			}))
			n.reply(n.frames(), n.start())
			n.line("connected")
			if st := n.status(); st.State != "connected" || st.Cause != "" {
				t.Errorf("status %+v", st)
			}
			// What it has written is old, or not there: those who ask hear the agent itself.
			out, code, err := n.agent.Run(n.ctx, "doctor")
			n.must(err)
			if code != 0 || !strings.Contains(out, "an agent runs it, and is left alone") {
				t.Errorf("doctor: exit code %d:\n%s", code, out)
			}
			said := 0
			for _, l := range n.agent.Lines() {
				if strings.Contains(l, "there is no room for the lock") {
					said++
				}
			}
			if said != 1 {
				t.Errorf("said %d times", said)
			}
			nodeStop(n.scene)
		})
	}
}
