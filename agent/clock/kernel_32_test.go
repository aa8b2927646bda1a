//go:build linux && (386 || arm || mips || mipsle)

package clock

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What does not fit is refused before the kernel is asked: this machine's clock stays.
func TestKernel32(t *testing.T) {
	var k Kernel
	for year := 2038; year <= 2041; year++ {
		before := k.Now()
		if err := k.Step(day(year, 2, 1)); !errors.Is(err, unix.ERANGE) {
			t.Errorf("%d: %v", year, err)
		}
		if passed := k.Now().Sub(before); passed < 0 || passed > time.Minute {
			t.Errorf("the clock went by %v", passed)
		}
	}
	if err := k.Step(time.Unix(1<<31, 0)); !errors.Is(err, unix.ERANGE) {
		t.Errorf("the first second that does not fit: %v", err)
	}
	if wide, ok := gettime64(); !ok || time.Since(wide).Abs() > time.Minute {
		t.Errorf("clock_gettime64 says %v, %v", wide, ok)
	}
}
