package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// clockEvents is where the kernel says by which timer it has itself interrupted, and can be told to do without it
// (kernel/time/clockevents.c).
const clockEvents = "/sys/devices/system/clockevents/clockevent0/"

// lossyTimer is the processor's own timer on MIPS (arch/mips/kernel/cevt-r4k.c), of which QEMU loses an interrupt now
// and then: the machine then stands still for 25.77 s. With three pairs of machines on two processors that was seen in
// every other run.
const lossyTimer = "MIPS"

// soundTimer has the kernel use its next best timer, the board's, in place of one that QEMU does not emulate well.
func soundTimer() error {
	name, err := os.ReadFile(clockEvents + "current_device")
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(name)) != lossyTimer {
		return nil
	}
	if err == nil {
		err = os.WriteFile(clockEvents+"unbind_device", []byte(lossyTimer), 0)
	}
	if err != nil {
		return fmt.Errorf("timer %s: %w", lossyTimer, err)
	}
	return nil
}
