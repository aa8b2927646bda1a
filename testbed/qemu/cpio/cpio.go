// Package cpio writes archives in the format "newc", which Linux takes for an initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst).
package cpio

import (
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Writer writes one archive. Paths are taken as from the root; their folders are made as needed.
type Writer struct {
	w     io.Writer
	n     int64 // bytes written
	inode uint32
	dirs  map[string]bool
	err   error
}

// New returns a writer to w.
func New(w io.Writer) *Writer { return &Writer{w: w, dirs: map[string]bool{".": true, "/": true}} }

// File adds a file with its permissions.
func (a *Writer) File(name string, perm uint32, content []byte) error {
	a.parents(name)
	a.entry(name, unix.S_IFREG|perm, content)
	return a.result(name)
}

// Dir adds a folder.
func (a *Writer) Dir(name string) error {
	a.parents(path.Join(name, "x"))
	return a.result(name)
}

// Link adds a symbolic link.
func (a *Writer) Link(name, target string) error {
	a.parents(name)
	a.entry(name, unix.S_IFLNK|0o777, []byte(target))
	return a.result(name)
}

// Char adds a character device.
func (a *Writer) Char(name string, perm, major, minor uint32) error {
	a.parents(name)
	a.header(name, unix.S_IFCHR|perm, 0, major, minor)
	return a.result(name)
}

// Close writes the end of the archive; it does not close what it writes to.
func (a *Writer) Close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.result("end")
}

func (a *Writer) result(name string) error {
	if a.err != nil {
		return fmt.Errorf("cpio: %s: %w", name, a.err)
	}
	return nil
}

func (a *Writer) parents(name string) {
	dir := path.Dir(clean(name))
	if a.dirs[dir] {
		return
	}
	a.parents(dir)
	a.dirs[dir] = true
	a.entry(dir, unix.S_IFDIR|0o755, nil)
}

func clean(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

func (a *Writer) entry(name string, mode uint32, content []byte) {
	a.header(name, mode, len(content), 0, 0)
	a.write(content)
	a.pad()
}

func (a *Writer) header(name string, mode uint32, size int, major, minor uint32) {
	a.inode++
	name = clean(name)
	const links, owner, time, device = 1, 0, 0, 0
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.inode, mode, owner, owner, links, time, size, device, device, major, minor, len(name)+1, 0, name))
	a.pad()
}

func (a *Writer) write(b []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(b)
	a.n += int64(n)
	a.err = err
}

// pad fills up to a multiple of four bytes.
func (a *Writer) pad() { a.write(make([]byte, -a.n&3)) }
