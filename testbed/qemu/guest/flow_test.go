package guest

import (
	"net"
	"testing"
)

// Both directions arrive whole, and are measured by whoever receives them.
func TestFlow(t *testing.T) {
	for _, fromTheNode := range []bool{true, false} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- serveFlow(there)
			there.Close()
		}()
		rate, err := Flow(here, fromTheNode, 1<<20)
		if err != nil || rate <= 0 {
			t.Errorf("from the node %v: %v bit/s, %v", fromTheNode, rate, err)
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
