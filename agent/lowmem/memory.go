package lowmem

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage, in percent of what lives, may lie about before it is collected. What lives is less
// than a megabyte, but with the usual 100 the collector does not begin below four; with 25 it does at one. On
// big-endian MIPS that is 2 MB less memory at rest, for the same CPU time.
const gcPercent = 25

// Frugal has the agent live in little memory. GOGC in the environment has the last word.
func Frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
