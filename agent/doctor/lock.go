package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"wguplink/agent/uplink"
)

// errBusy says that another doctor has the device.
var errBusy = errors.New("another wguplink doctor is at work")

// lock takes the name of our own device for this process. The kernel lets go of it when the process ends. No uplink can
// be called like the file.
func lock(runDir string) (unlock func(), err error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil && !uplink.NoRoom(err) {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(runDir, "doctor-device.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if uplink.NoRoom(err) {
		return func() {}, nil // no other has a lock there, either
	}
	if err != nil {
		return nil, fmt.Errorf("make the lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
