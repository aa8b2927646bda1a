//go:build userspace

package userspace

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"wguplink/agent/mtu"
)

// tunFile reads the packets of a tun, several in a row where there are, and writes those of a run in one call. The tun
// has IFF_VNET_HDR: there is a header before each packet. One goroutine calls ReadBatch.
type tunFile struct {
	*os.File
	raw    syscall.RawConn
	closed atomic.Bool
	in     reading
	read   func(fd uintptr) bool

	joins atomic.Bool // the kernel takes runs
	mu    sync.Mutex  // guards out
	out   joined
	err   error // of the write
	write func(fd uintptr) bool
}

// reading is one call of ReadBatch.
type reading struct {
	bufs   [][]byte
	sizes  []int
	offset int
	n      int
	waited bool // there was nothing at first
	err    error
}

func newTUNFile(f *os.File) (*tunFile, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tunFile{File: f, raw: raw}
	t.read, t.write = t.readPackets, t.writeRun
	t.joins.Store(takesRuns(raw))
	return t, nil
}

// takesRuns tells whether the kernel takes runs of UDP from a tun: since 6.2, as it can give them. We want none of it:
// what goes into a tunnel has no room for more than a packet.
func takesRuns(raw syscall.RawConn) bool {
	const all = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_USO4 | unix.TUN_F_USO6
	return control(raw, func(fd int) error {
		err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, all)
		if errBack := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err == nil {
			err = errBack
		}
		return err
	}) == nil
}

// ReadBatch implements packetFile.
func (t *tunFile) ReadBatch(bufs [][]byte, sizes []int, offset int) (int, error) {
	t.in = reading{bufs: bufs, sizes: sizes, offset: offset}
	err := t.raw.Read(t.read)
	switch {
	case t.in.n > 0:
		return t.in.n, nil // an error comes again
	case t.closed.Load():
		return 0, os.ErrClosed
	case err != nil:
		return 0, err
	}
	return 0, t.in.err
}

// readPackets tells whether the call is over; if not, it is made again when there is something to read.
func (t *tunFile) readPackets(fd uintptr) bool {
	in := &t.in
	for in.n < len(in.bufs) {
		// One byte more than is allowed, to see what was too large: the kernel cuts silently.
		n, err := unix.Read(int(fd), in.bufs[in.n][in.offset-headerSize:in.offset+mtu.Userspace+1])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN && in.n == 0:
			in.waited = true
			return false
		case err != nil:
			in.err = err
			return true
		}
		in.sizes[in.n] = max(n-headerSize, 0)
		in.n++
		if in.waited {
			return true // packets come singly: a second look would be in vain
		}
	}
	return true
}

// WriteBatch implements packetFile.
func (t *tunFile) WriteBatch(bufs [][]byte, offset int) (int, error) {
	for done := 0; done < len(bufs); {
		rest := bufs[done:]
		n := 1
		if t.joins.Load() {
			n = joinable(rest, offset)
		}
		if n > 1 {
			err := t.join(rest[:n], offset)
			if err == nil {
				done += n
				continue
			}
			if err != unix.EINVAL {
				return done, err
			}
			t.joins.Store(false)
		}
		for _, b := range rest[:n] {
			p := b[offset-headerSize:]
			clear(p[:headerSize])
			if _, err := t.Write(p); err != nil {
				return done, err
			}
			done++
		}
	}
	return len(bufs), nil
}

// join writes packets as one; after an error they are as before.
func (t *tunFile) join(packets [][]byte, offset int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.set(packets, offset)
	err := t.raw.Write(t.write)
	if err == nil {
		err = t.err
	}
	if err != nil {
		t.out.restore(packets, offset)
	}
	clear(t.out.parts)
	return err
}

// writeRun tells whether the call is over; if not, it is made again when the tun can be written to.
func (t *tunFile) writeRun(fd uintptr) bool {
	for {
		_, t.err = unix.Writev(int(fd), t.out.parts)
		if t.err != unix.EINTR {
			return t.err != unix.EAGAIN
		}
	}
}

// Close implements packetFile.
func (t *tunFile) Close() error {
	t.closed.Store(true)
	return t.File.Close()
}
