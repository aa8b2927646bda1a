//go:build userspace

package userspace

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// trimAfter is how long it has to be quiet before the memory of a load goes back to the kernel. It takes twice that at
// most.
const trimAfter = 10 * time.Second

// trimmer gives the memory of a load back. By itself Go would do so after minutes, because the collector does not run
// while nothing is allocated. At rest it does nothing, and there is no timer.
type trimmer struct {
	armed  atomic.Bool // a timer runs
	active atomic.Bool // there was load since the timer was set
	free   func()
}

// touch says that there is load.
func (t *trimmer) touch() {
	if !t.active.Load() {
		t.active.Store(true)
	}
	if !t.armed.Load() && !t.armed.Swap(true) {
		time.AfterFunc(trimAfter, t.fire)
	}
}

func (t *trimmer) fire() {
	if t.active.Swap(false) {
		time.AfterFunc(trimAfter, t.fire)
		return
	}
	t.armed.Store(false)
	t.free()
}

// freeMemory empties the pools, which keep what is in them over one collection.
func freeMemory() {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
}
