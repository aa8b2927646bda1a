package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FlashDir is where the file system with the programs is mounted.
const FlashDir = "/rom"

// mountFlash mounts a squashfs that a disk holds.
func mountFlash(device string) error {
	if err := errors.Join(awaitFile(device, deviceTime), os.MkdirAll(FlashDir, 0o755)); err != nil {
		return err
	}
	if err := unix.Mount(device, FlashDir, "squashfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// cached says how much of a file lies in the page cache, in KiB.
func cached(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	size := int(fi.Size())
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return "", fmt.Errorf("map %s: %w", name, err)
	}
	defer unix.Munmap(b)
	page := os.Getpagesize()
	resident := make([]byte, (size+page-1)/page)
	// mincore(2), for which package unix has no function.
	_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(size),
		uintptr(unsafe.Pointer(&resident[0])))
	if e != 0 {
		return "", fmt.Errorf("pages of %s: %w", name, e)
	}
	n := 0
	for _, r := range resident {
		n += int(r & 1)
	}
	return strconv.Itoa(n * page / 1024), nil
}

// loadFile has the page cache hold all of a file.
func loadFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
