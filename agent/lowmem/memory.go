package lowmem

import (
	"os"
	"runtime"
	"runtime/debug"
)

// gcPercent is how much garbage, in percent of what lives, may lie about before it is collected. What lives is less
// than a megabyte, but with the usual 100 the collector does not begin below four; with 25 it does at one. On
// big-endian MIPS that is 2 MB less memory at rest, for the same CPU time.
const gcPercent = 25

// Frugal has the agent live in little memory, and on one processor at a time: it mostly waits, and each time it wakes
// up, Go's runtime would wake threads on the other processors to look for work, too. On two processors that halves the
// wake-ups of its threads at rest. GOGC and GOMAXPROCS in the environment have the last word. Userspace WireGuard is a
// process of its own, and has all processors.
func Frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
