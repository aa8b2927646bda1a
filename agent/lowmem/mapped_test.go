//go:build !cross

package lowmem

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inPlace are the pieces of which the kernel says that a page is in the address space (proc_pid_pagemap(5): eight bytes
// for each page, of which the highest bit says so).
func inPlace(t *testing.T, p *Program) map[uintptr]bool {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[uintptr]bool{}
	for _, s := range p.pieces {
		entry := make([]byte, 8)
		if _, err := f.ReadAt(entry, int64(s.from)/int64(os.Getpagesize())*8); err != nil {
			t.Fatal(err)
		}
		if binary.NativeEndian.Uint64(entry)>>63 != 0 {
			all[s.from] = true
		}
	}
	return all
}

// Release leaves what Keep has found, and nothing brings in more than a piece. The kernel's own table is the judge.
func TestKeep(t *testing.T) {
	var p Program
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	if len(p.pieces) == 0 {
		t.Fatal("nothing of this program can be given back")
	}
	if err := p.Keep(); err != nil { // what Keep itself needs is there when it is asked for below
		t.Fatal(err)
	}
	for i := range p.pieces {
		p.pieces[i].kept = false
	}
	if err := p.Shed(); err != nil {
		t.Fatal(err)
	}
	inPlace(t, &p)
	before := inPlace(t, &p)
	if len(before) > len(p.pieces)/2 {
		t.Fatalf("%d of %d pieces are there right after they were given back", len(before), len(p.pieces))
	}
	if err := p.Keep(); err != nil {
		t.Fatal(err)
	}
	kept, missed := 0, 0
	for _, s := range p.pieces {
		if s.kept {
			kept++
		}
		if before[s.from] && !s.kept {
			missed++
		}
	}
	// A page fault of something else on this thread, such as the race detector's, hides a piece.
	if missed > len(before)/10 {
		t.Errorf("%d of %d pieces that were there are not kept", missed, len(before))
	}
	// Between the two looks code has run that was not there yet.
	few := len(p.pieces) / 5
	if kept > len(before)+few {
		t.Errorf("%d pieces are kept, %d were there", kept, len(before))
	}
	if n := len(inPlace(t, &p)); n != len(p.pieces) {
		t.Errorf("%d of %d pieces are there; the test below would say nothing", n, len(p.pieces))
	}
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	after := inPlace(t, &p)
	for _, s := range p.pieces {
		if s.kept && !after[s.from] {
			t.Errorf("the kept piece at %x is gone", s.from)
		}
	}
	if len(after) > kept+few {
		t.Errorf("%d pieces are there, %d are kept", len(after), kept)
	}
}

// To look where a page is does not load it.
func TestTouchPage(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := os.Getpagesize()
	if err := f.Truncate(int64(page)); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, page, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	look, err := newToucher()
	if err != nil {
		t.Fatal(err)
	}
	defer look.close()
	for _, what := range []string{"never read", "looked at"} {
		if where, err := look.touch(uintptr(unsafe.Pointer(&b[0]))); where != unloaded || err != nil {
			t.Errorf("%s: %v, %v; want %v", what, where, err, unloaded)
		}
	}
	if _, err := f.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []presence{cached, mapped} {
		if where, err := look.touch(uintptr(unsafe.Pointer(&b[0]))); where != want || err != nil {
			t.Errorf("in the page cache: %v, %v; want %v", where, err, want)
		}
	}
}
