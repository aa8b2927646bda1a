package flow

import (
	"net"
	"testing"
)

// Both directions arrive whole, and are measured by the end that receives them.
func TestFlow(t *testing.T) {
	for name, do := range map[string]func(net.Conn, int64) (Flow, error){"up": Up, "down": Down} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- serve(there, "a sink")
			there.Close()
		}()
		f, err := do(here, 1<<20)
		if err != nil || f.Sink != "a sink" || f.Bytes != 1<<20 || f.Rate <= 0 || f.Took <= 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		here.Close()
	}
	here, there := net.Pipe()
	go func() {
		there.Write(make([]byte, 100))
		there.Close()
	}()
	if _, err := measure(here, 1<<20); err == nil {
		t.Error("a flow that breaks off was measured")
	}
}
