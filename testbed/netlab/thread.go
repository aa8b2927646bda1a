package netlab

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// errThreadExit is what a function gets that ended its goroutine, for example
// by t.Fatal, instead of returning.
var errThreadExit = errors.New("netlab: function did not return (t.Fatal or runtime.Goexit inside a host)")

// onThread runs f on a thread of its own and then throws the thread away, so
// that f may change the thread's namespaces.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go thread(f, done)
	return <-done
}

func thread(f func() error, done chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread never ends, and its namespaces are the ones that
		// /proc/self shows. Sit on it while another thread does the work.
		inner := make(chan error, 1)
		go thread(f, inner)
		done <- <-inner
		runtime.UnlockOSThread()
		return
	}
	err := errThreadExit
	defer func() { done <- err }()
	// No unlock: a goroutine that ends locked takes its thread with it.
	err = f()
}
