package lowmem

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// piece is how much of the program comes into the address space at most where one page is needed, in bytes. Otherwise
// the kernel brings in 64 KiB around that page, most of which is not needed.
const piece = 8 << 10

// Program is what the agent has of its own code and constants in its address space. The kernel brings in what is used,
// and takes away nothing while there is room. Its methods may be called from several goroutines.
type Program struct {
	mu     sync.Mutex
	opened bool
	pieces []part // by address
}

// part is a piece of the program. from and to are addresses.
type part struct {
	from, to uintptr
	kept     bool
}

// Shed gives back what is not kept. What comes back is what is used from now on.
func (p *Program) Shed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	return p.giveBack()
}

// Keep has Shed and Release leave in the address space what is there now.
func (p *Program) Keep() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil || len(p.pieces) == 0 {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, err := newToucher()
	if err != nil {
		return err
	}
	defer t.close()
	return p.note(t.touch)
}

// open finds the program's pieces, and makes each a mapping of its own. There are none where the loader may have
// changed pages of the program's constants: these would be lost.
func (p *Program) open() error {
	if p.opened {
		return nil
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer exe.Close()
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	if fixed, err := fixedAddress(exe); err != nil || !fixed {
		p.opened = err == nil
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	ranges, err := constant(maps, name)
	if err != nil {
		return err
	}
	if err := singly(exe, ranges); err != nil {
		return err
	}
	p.pieces, p.opened = cut(ranges, uintptr(max(piece, os.Getpagesize()))), true
	return p.divide()
}

// cut gives the pieces of some ranges. size is in bytes, and one page or some.
func cut(ranges [][2]uintptr, size uintptr) (pieces []part) {
	for _, r := range ranges {
		for at := r[0]; at < r[1]; at += size {
			pieces = append(pieces, part{from: at, to: min(at+size, r[1])})
		}
	}
	return pieces
}

// divide makes a mapping of its own of each piece: the kernel brings in pages around the one that is missing, but not
// beyond a mapping (do_fault_around in its mm/memory.c). Neighbours with the same flags would be one mapping again, so
// every other piece is left out of core dumps, where none of them would be anyway, but for the first page (core(5)).
func (p *Program) divide() error {
	for i := 1; i < len(p.pieces); i += 2 {
		if err := advise(p.pieces[i].from, p.pieces[i].to, unix.MADV_DONTDUMP); err != nil {
			return err
		}
	}
	return nil
}

// giveBack takes the pieces that are not kept out of the address space.
func (p *Program) giveBack() error {
	for i := 0; i < len(p.pieces); i++ {
		if p.pieces[i].kept {
			continue
		}
		from := p.pieces[i].from
		for i+1 < len(p.pieces) && p.pieces[i+1].from == p.pieces[i].to && !p.pieces[i+1].kept {
			i++
		}
		if err := advise(from, p.pieces[i].to, unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}

// presence is where a page of the program is.
type presence int

const (
	mapped   presence = iota // in the address space
	cached                   // in the page cache
	unloaded                 // on the disk
	loaded                   // on the disk, until now
)

// mostLoaded is how many pieces note may have the kernel load from the disk. Each may take a router 0.2 s.
const mostLoaded = 4

var errLoaded = errors.New("much of the program is not in the page cache")

// note keeps the pieces that are in the address space. touch says where a page was, and has the kernel map it.
func (p *Program) note(touch func(at uintptr) (presence, error)) error {
	there := make([]bool, len(p.pieces))
	n := 0 // that were loaded
	for i, s := range p.pieces {
		where, err := touch(s.from)
		if err != nil {
			return fmt.Errorf("read the program at %x: %w", s.from, err)
		}
		there[i] = where == mapped
		if where == loaded {
			n++
		}
		if n == mostLoaded {
			return errLoaded
		}
	}
	for i := range p.pieces {
		p.pieces[i].kept = p.pieces[i].kept || there[i]
	}
	return nil
}

// toucher finds out where pages are. The kernel reads a byte of each to write it into a pipe, and counts page faults.
// The kernels of routers have no other way to tell.
type toucher struct {
	pipe [2]int
}

func newToucher() (*toucher, error) {
	var t toucher
	if err := unix.Pipe2(t.pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return &t, nil
}

func (t *toucher) close() { unix.Close(t.pipe[0]); unix.Close(t.pipe[1]) }

// touch is for a goroutine that is locked to its thread: page faults are counted by thread. The pipe has room for some
// thousand pages.
func (t *toucher) touch(at uintptr) (presence, error) {
	var there [1]byte
	_, _, e := unix.Syscall(unix.SYS_MINCORE, at, 1, uintptr(unsafe.Pointer(&there[0])))
	if e == 0 && there[0]&1 == 0 {
		return unloaded, nil
	}
	minor, major, err := faults()
	if err != nil {
		return 0, err
	}
	if _, _, err := unix.Syscall(unix.SYS_WRITE, uintptr(t.pipe[1]), at, 1); err != 0 {
		return 0, err
	}
	minorNow, majorNow, err := faults()
	switch {
	case err != nil:
		return 0, err
	case majorNow != major:
		return loaded, nil
	case minorNow != minor:
		return cached, nil
	}
	return mapped, nil
}

// faults are the page faults of this thread that took no reading, and those that did (getrusage(2)).
func faults() (minor, major int64, err error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &r); err != nil {
		return 0, 0, fmt.Errorf("getrusage: %w", err)
	}
	return int64(r.Minflt), int64(r.Majflt), nil
}

// singly has the kernel read a page that is missing alone, and nothing around it, where the program lies in a squashfs
// or may do so, below an overlay. In a squashfs a page brings the rest of its block with it, which is decompressed
// once. Where the kernel reads around a page, it has the block decompressed once for each gap that the pages leave that
// are in the page cache already (seen with Linux 6.1).
func singly(program *os.File, ranges [][2]uintptr) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(program.Fd()), &fs); err != nil {
		return fmt.Errorf("program's file system: %w", err)
	}
	if fs.Type != unix.SQUASHFS_MAGIC && fs.Type != unix.OVERLAYFS_SUPER_MAGIC {
		return nil
	}
	for _, r := range ranges {
		if err := advise(r[0], r[1], unix.MADV_RANDOM); err != nil {
			return err
		}
	}
	return nil
}

// advise is madvise(2).
func advise(from, to uintptr, advice int) error {
	if _, _, err := unix.Syscall(unix.SYS_MADVISE, from, to-from, uintptr(advice)); err != 0 {
		return fmt.Errorf("madvise %x-%x: %w", from, to, err)
	}
	return nil
}
