package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wguplink/testbed/vclock"
)

// Host is one machine of the lab. Its methods may be called concurrently.
type Host struct {
	name  string
	net   netns.NsHandle
	inode uint64 // of the network namespace
	mnt   int
	own   atomic.Pointer[ownMounts]
	nl    *netlink.Handle
	clock *vclock.Clock

	mu    sync.Mutex
	keep  map[string]bool        // links that a reboot leaves
	procs []*Process             // started here and not yet seen to be gone
	drops int                    // number of the next drop rule
	bound map[string]fs.FileInfo // folders mounted by Bind, by target
}

// Clock returns the clock of programs that are started without one: at first
// the machine's time, not synchronised.
func (h *Host) Clock() *vclock.Clock { return h.clock }

// Netlink returns a route netlink handle inside the host, good until the lab is
// closed. Links made with it do not survive Reboot unless named to Keep.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Do runs f on a thread inside the host's network namespace. What f starts on
// other goroutines runs outside. f must return: no t.Fatal in it.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(h.net), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("netlab: enter host %s: %w", h.name, err)
		}
		return f()
	})
}

// Inside is Do inside the host's mount namespace too: f sees its files. Where
// that shows other files than the host's, f is not called.
func (h *Host) Inside(f func() error) error {
	return h.Do(func() error {
		// A thread may change its mount namespace only when it shares its
		// root and working directory with no other.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("netlab: enter host %s: %w", h.name, err)
		}
		if err := unix.Setns(h.mnt, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("netlab: enter mounts of host %s: %w", h.name, err)
		}
		if err := h.own.Load().check(); err != nil {
			return fmt.Errorf("netlab: host %s: %w", h.name, err)
		}
		return f()
	})
}

// WriteFile writes a file of the host, making folders as needed. Only /etc,
// /run and /tmp are the host's own; elsewhere is the machine, and refused.
func (h *Host) WriteFile(name, content string) error {
	if !ownPath(name) {
		return fmt.Errorf("netlab: host %s: write %s: only files under /etc, /run and /tmp are the host's own", h.name,
			name)
	}
	err := h.Inside(func() error {
		if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		return os.WriteFile(name, []byte(content), 0o644)
	})
	if err != nil {
		return fmt.Errorf("netlab: host %s: %w", h.name, err)
	}
	return nil
}

// ReadFile reads a file as a program on the host would.
func (h *Host) ReadFile(name string) (content []byte, err error) {
	err = h.Inside(func() (err error) {
		content, err = os.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netlab: host %s: %w", h.name, err)
	}
	return content, nil
}

// Bind mounts the caller's folder dir on target, a folder of the host that is
// made as needed, in place of what the last Bind put there. Both sides see the
// same files from then on.
func (h *Host) Bind(dir, target string) error {
	if !ownPath(target) {
		return fmt.Errorf("netlab: host %s: bind on %s: only paths under /etc, /run and /tmp are the host's own",
			h.name, target)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	fi, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("netlab: host %s: bind: %w", h.name, err)
	}
	old, bound := h.bound[target]
	if bound && os.SameFile(old, fi) {
		return nil
	}
	tree, err := cloneTree(dir)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	err = h.Inside(func() error {
		if bound {
			if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", target, err)
			}
		}
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		return attachTree(tree, target)
	})
	if err != nil {
		return fmt.Errorf("netlab: host %s: bind %s: %w", h.name, dir, err)
	}
	if h.bound == nil {
		h.bound = make(map[string]fs.FileInfo)
	}
	h.bound[target] = fi
	return nil
}

// Keep has Reboot leave these links of the host alone. Wires are kept anyway.
func (h *Host) Keep(devs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, dev := range devs {
		h.keep[dev] = true
	}
}

func (h *Host) reset() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	links, err := h.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		if h.keep[link.Attrs().Name] {
			continue
		}
		err := h.nl.LinkDel(link)
		switch {
		case err == nil, errors.Is(err, unix.ENODEV): // may have gone with another
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM): // the kernel's own, such as sit0
		default:
			return fmt.Errorf("delete link %s: %w", link.Attrs().Name, err)
		}
	}
	for target := range h.bound {
		if !strings.HasPrefix(target, "/etc/") {
			delete(h.bound, target)
		}
	}
	return h.Inside(func() error {
		// Where /var/run is a folder it is a mount too, where not this fails.
		_ = unix.Unmount("/var/run", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		for _, dir := range []string{"/run", "/tmp"} {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", dir, err)
			}
		}
		if err := volatile(); err != nil {
			return err
		}
		own, err := lookMounts()
		if err == nil {
			h.own.Store(&own)
		}
		return err
	})
}

// ownPath reports whether name lies in what a host does not share with the
// machine.
func ownPath(name string) bool {
	name = path.Clean(name)
	for _, dir := range []string{"/etc/", "/run/", "/tmp/", "/var/run/"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}
