package cputime

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A process's clock is that which it has of itself, and goes on with each of its calls.
func TestOf(t *testing.T) {
	var own unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &own); err != nil {
		t.Fatal(err)
	}
	first, err := Of(os.Getpid())
	if err != nil || first.Nanoseconds() < own.Nano() {
		t.Fatalf("%v, %v; %d ns before", first, err, own.Nano())
	}
	for range 1000 {
		os.Getppid()
	}
	if second, err := Of(os.Getpid()); err != nil || second <= first {
		t.Errorf("%v, then %v, %v", first, second, err)
	}
	if _, err := Of(1<<22 + 1); err == nil { // PID_MAX_LIMIT is 2^22
		t.Error("no error for a process that does not exist")
	}
}
