package nodetest

import (
	"context"
	"fmt"
	"strconv"

	"wguplink/testbed/qemu/guest"
)

// MemoryLimit is what the agent has to do with, in bytes: its own memory, that of userspace WireGuard, and what the
// kernel keeps for both.
const MemoryLimit = 12 << 20

const memoryStep = "all of that within 12 MiB"

// memory looks at what the agent's control group has taken at most, since the last boot, and whether that was ever too
// much.
func (t *Test) memory(ctx context.Context) (string, error) {
	text, err := t.Node.Read(ctx, guest.AgentCgroup+"/memory.peak")
	if err != nil {
		return "", err
	}
	peak, err := strconv.Atoi(trim(text))
	if err != nil {
		return "", fmt.Errorf("memory.peak: %w", err)
	}
	events, err := t.Node.Read(ctx, guest.AgentCgroup+"/memory.events")
	if err != nil {
		return "", err
	}
	killed, err := field(events, "oom_kill ")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d KiB at most", peak/1024), tooMuch(peak, killed)
}

// tooMuch says what is wrong with a peak in bytes, and with so many processes that were killed for want of memory.
func tooMuch(peak, killed int) error {
	switch {
	case killed != 0:
		return fmt.Errorf("%d processes were killed for want of memory", killed)
	case peak == 0 || peak > MemoryLimit:
		return fmt.Errorf("%d KiB at most: the limit of %d does not hold", peak/1024, MemoryLimit/1024)
	}
	return nil
}
