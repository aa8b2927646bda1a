package lowmem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Fetch has the page cache hold all of the program, and leaves the agent's own address space as it is. A program in
// squashfs is decompressed in blocks of 256 KiB, of which a router does a few in a second; what is in the page cache
// costs some milliseconds.
func Fetch() error {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer program.Close()
	return touch(program)
}

// smallestPage is that of the processors that we know, in bytes.
const smallestPage = 4096

// touch reads a byte of each page.
func touch(program io.ReaderAt) error {
	var b [1]byte
	for at := int64(0); ; at += smallestPage {
		if _, err := program.ReadAt(b[:], at); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("program: %w", err)
		}
	}
}

// FetchPause is how long the program is not fetched again: a WAN that comes and goes asks for it each time.
const FetchPause = 30 * time.Second

// Fetcher fetches the program beside all else, while there is time before it is needed.
type Fetcher struct {
	Fetch  func() error // in a goroutine of its own; never twice at once
	Failed func(error)  // in the same one

	mu      sync.Mutex
	running bool
	next    time.Time
}

// Want has the program fetched, unless that is under way, or was begun less than FetchPause ago. It does not block.
func (f *Fetcher) Want(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running || now.Before(f.next) {
		return
	}
	f.running, f.next = true, now.Add(FetchPause)
	go func() {
		if err := f.Fetch(); err != nil {
			f.Failed(err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = false
	}()
}
