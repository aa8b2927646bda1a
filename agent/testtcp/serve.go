// Package testtcp has a server of TCP connections for the unit tests.
package testtcp

import (
	"net"
	"sync"
	"testing"
)

// Serve hands each connection of a listener to talk, in a goroutine of its own, and closes it after that. At the end of
// the test it closes the listener, and waits for all of them.
func Serve(t testing.TB, l net.Listener, talk func(net.Conn)) {
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Add(1)
			go func() {
				defer running.Done()
				defer c.Close()
				talk(c)
			}()
		}
	}()
}
