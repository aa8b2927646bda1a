package main

import (
	"sync"
	"time"

	"wguplink/agent/lowmem"
	"wguplink/agent/slog"
	"wguplink/agent/status"
)

// memory gives back what the agent does not need at rest, and has what it needs read in time.
type memory struct {
	log     *slog.Logger
	program pages
	fetcher lowmem.Fetcher
	settled *time.Timer

	mu      sync.Mutex
	dropped time.Time // when the program was given back last, to learn what a way to a gateway uses
	moved   bool      // a gateway was taken
	known   bool      // what that has used is kept
}

// pages are those of the program; see lowmem.Program.
type pages interface {
	Drop() error
	Keep() error
	Release() error
}

func newMemory(program pages, fetch func() error, log *slog.Logger) *memory {
	m := &memory{program: program, log: log}
	m.fetcher = lowmem.Fetcher{Fetch: fetch, Failed: func(err error) { m.say("program not read ahead", err) }}
	m.settled = time.AfterFunc(lowmem.Quiet, m.release)
	return m
}

func (m *memory) stop() { m.settled.Stop() }

// changed is told of each change of an uplink.
func (m *memory) changed(st status.Snapshot) {
	m.settled.Reset(lowmem.Quiet)
	switch {
	case st.Cause == status.NoWAN: // what the way to a gateway needs is read meanwhile
		m.fetcher.Want(time.Now())
	case st.Switches > 0:
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.moved = true; !m.known {
			m.settled.Reset(lowmem.Brief) // what comes after that is measuring, which no failover waits for
		}
	}
}

// dropPause is how long the program is not dropped again: some gateways are tried at a time.
const dropPause = time.Second

// tries is told when a gateway is to be tried while none is in use. From here on it is as when a gateway dies: what is
// used now is to stay in the address space, where nothing takes it away, for to read it from flash would take too long
// then. What a registration needed goes.
func (m *memory) tries() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); !m.known && now.Sub(m.dropped) >= dropPause {
		m.dropped = now
		m.say("the program's pages are not given back", m.program.Drop())
	}
}

// checked is told when the kernel's state was found as it should be.
func (m *memory) checked() { m.settled.Reset(lowmem.Brief) }

// release is for when all is quiet.
func (m *memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved && !m.known {
		m.known = true
		m.say("what a failover needs may have to be read again", m.program.Keep())
		m.settled.Reset(lowmem.Quiet)
	}
	m.say("memory is not given back", m.program.Release())
}

func (m *memory) say(what string, err error) {
	if err != nil {
		m.log.Debug(what, "err", err)
	}
}
