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
	shed    time.Time // when the program was given back last, to learn what a way to a gateway uses
	taken   int       // gateways, so far
	learned int       // from so many ways to a gateway; what they use is kept
	garbage int       // made since it was collected last: by so many checks of the kernel's state, or as much
}

// pages are those of the program; see lowmem.Program.
type pages interface {
	Shed() error
	Keep() error
	Release() error
}

// lessons is how many ways to a gateway are learned from: the first, and the first change to another, which does a
// little that the first does not.
const lessons = 2

// toLearn says that a gateway was taken, and what the way to it has used is not kept yet. The caller holds mu.
func (m *memory) toLearn() bool { return m.learned < min(m.taken, lessons) }

func newMemory(program pages, fetch func() error, log *slog.Logger) *memory {
	m := &memory{program: program, log: log, garbage: muchGarbage}
	m.fetcher = lowmem.Fetcher{Fetch: fetch, Failed: func(err error) { m.say("program not read ahead", err) }}
	m.settled = time.AfterFunc(lowmem.Quiet, m.release)
	return m
}

func (m *memory) stop() { m.settled.Stop() }

// changed is told of each change of an uplink.
func (m *memory) changed(st status.Snapshot) {
	m.settled.Reset(lowmem.Quiet)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.garbage = muchGarbage
	switch {
	case st.Cause == status.NoWAN: // what the way to a gateway needs is read meanwhile
		m.fetcher.Want(time.Now())
	case st.Switches > 0:
		m.taken = max(m.taken, st.Switches)
		if m.toLearn() {
			m.settled.Reset(lowmem.Brief) // what comes after that is measuring, which no failover waits for
		}
	}
}

// shedPause is how long the program is not given back again: some gateways are tried at a time.
const shedPause = time.Second

// tries is told when a gateway is to be tried. From here on it is as when a gateway dies: what is used now is to stay
// in the address space, where nothing takes it away, for to read it from flash would take too long then. What a
// registration needed goes.
func (m *memory) tries() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); m.learned < lessons && now.Sub(m.shed) >= shedPause {
		m.shed = now
		m.say("the program's pages are not given back", m.program.Shed())
	}
}

// checked is told when the kernel's state was found as it should be.
func (m *memory) checked() {
	m.mu.Lock()
	m.garbage++
	m.mu.Unlock()
	m.settled.Reset(lowmem.Brief)
}

// muchGarbage is worth being collected: to collect takes longer than a check, and Go does so by itself each two
// minutes. What it has collected goes back to the kernel only then.
const muchGarbage = 5

// release is for when all is quiet.
func (m *memory) release() {
	m.mu.Lock()
	learn, collect := m.toLearn(), m.garbage >= muchGarbage
	if collect {
		m.garbage = 0
	}
	if learn {
		m.learned++
		m.garbage = muchGarbage
	}
	m.mu.Unlock()
	if !collect {
		m.say("the program's pages are not given back", m.program.Shed())
		return
	}
	if learn {
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
