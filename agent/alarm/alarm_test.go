package alarm

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Both kinds go off when they were set to, and not when they were put off or stopped.
func TestAlarm(t *testing.T) {
	for name, made := range map[string]func() *Alarm{"kernel": New, "plain": Plain} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			a := made()
			if name == "kernel" && a.plain != nil {
				t.Fatal("this kernel has no timers with descriptors")
			}
			for _, after := range []time.Duration{0, -time.Second, 10 * time.Millisecond} {
				began := time.Now()
				a.Set(after)
				if at := <-a.C(); at.Sub(began) < after {
					t.Errorf("after %v, and not %v", at.Sub(began), after)
				}
			}
			a.Set(20 * time.Millisecond)
			a.Set(time.Hour) // put off
			b := made()
			b.Set(40 * time.Millisecond)
			select {
			case <-a.C():
				t.Error("it went off though it was put off")
			case <-b.C():
			}
			a.Set(time.Millisecond)
			<-a.C()
			a.Stop()
			b.Stop()
		})
	}
}

// Where the kernel refuses a timer, Go's takes its place.
func TestInPlace(t *testing.T) {
	defer goleak.VerifyNone(t)
	a := New()
	good := a.fd
	a.fd = -1
	a.Set(time.Millisecond)
	<-a.C()
	if a.plain == nil || good < 0 {
		t.Error("it went off without the timer")
	}
	a.Stop()
}

// An end that comes at once is not taken for the one before.
func TestAtOnce(t *testing.T) {
	a := New()
	defer a.Stop()
	for i := range 20000 {
		a.Set(0)
		select {
		case <-a.C():
		case <-time.After(time.Minute):
			t.Fatalf("it did not go off the %dth time", i)
		}
	}
}
