//go:build userspace

package userspace

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// namespace is a network namespace of its own, held by a thread that does nothing else.
type namespace struct {
	t     *testing.T
	fd    int
	calls chan func()
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{t: t, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for f := range n.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("network namespace: %v (the tests run as root)", err)
	}
	t.Cleanup(func() {
		close(n.calls)
		unix.Close(n.fd)
	})
	return n
}

// try runs f in the namespace and returns its error.
func (n *namespace) try(f func() error) error {
	errs := make(chan error)
	n.calls <- func() { errs <- f() }
	return <-errs
}

func (n *namespace) do(f func() error) {
	n.t.Helper()
	if err := n.try(f); err != nil {
		n.t.Fatal(err)
	}
}

// up gives a link an address and sets it up.
func (n *namespace) up(name, cidr string) {
	n.t.Helper()
	n.do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("address %s on %s: %w", cidr, name, err)
		}
		return netlink.LinkSetUp(l)
	})
}

// loopback gives the namespace 127.0.0.1; the kernel adds ::1.
func (n *namespace) loopback() {
	n.t.Helper()
	n.up("lo", "127.0.0.1/8")
}

func (n *namespace) hasLink(name string) bool {
	n.t.Helper()
	found := true
	n.do(func() error {
		_, err := netlink.LinkByName(name)
		if _, ok := err.(netlink.LinkNotFoundError); ok {
			found, err = false, nil
		}
		return err
	})
	return found
}

func (n *namespace) deleteLink(name string) {
	n.t.Helper()
	n.do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
}

// listen opens a UDP socket in the namespace.
func (n *namespace) listen(addr string) *net.UDPConn {
	n.t.Helper()
	var c *net.UDPConn
	n.do(func() error {
		a, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return err
		}
		c, err = net.ListenUDP("udp", a)
		return err
	})
	n.t.Cleanup(func() { c.Close() })
	return c
}

// child is a spawned wireguard-go process.
type child struct {
	t    *testing.T
	name string
	p    *os.Process
	log  *os.File
	exit chan error // its end: nil is exit code 0
}

// spawn starts a child in the namespace.
func (n *namespace) spawn(name string) *child {
	n.t.Helper()
	log, err := os.Create(n.t.TempDir() + "/log")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { log.Close() })
	return n.spawnLog(name, log)
}

func (n *namespace) spawnLog(name string, log *os.File) *child {
	n.t.Helper()
	c := &child{t: n.t, name: name, log: log, exit: make(chan error, 1)}
	n.do(func() (err error) {
		c.p, err = spawn(name, "", log)
		return err
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		state, err := c.p.Wait()
		if err == nil && !state.Success() {
			err = fmt.Errorf("wireguard-go %s: %v", name, state)
		}
		c.exit <- err
	}()
	n.t.Cleanup(func() {
		c.p.Kill()
		<-ended
		os.Remove(c.socket())
	})
	return c
}

func (c *child) socket() string { return "/var/run/wireguard/" + c.name + ".sock" }

func (c *child) output() string {
	c.t.Helper()
	b, err := os.ReadFile(c.log.Name())
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// wait returns how the process ended.
func (c *child) wait() error {
	c.t.Helper()
	var err error
	within(c.t, "the end of the process", func(end <-chan time.Time) bool {
		select {
		case err = <-c.exit:
			return true
		case <-end:
			return false
		}
	})
	return err
}

// status returns a figure of /proc/<pid>/status in KiB.
func (c *child) status(field string) (kib int) {
	c.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.p.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n"+field+":")
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		c.t.Fatalf("%s in %q: %v", field, b, err)
	}
	return kib
}

// configure sets the device up through its control socket, as the agent does.
func (c *child) configure(cfg wgtypes.Config) {
	c.t.Helper()
	client, err := wgctrl.New()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ConfigureDevice(c.name, cfg); err != nil {
		c.t.Fatalf("configure %s: %v", c.name, err)
	}
}

func (c *child) device() *wgtypes.Device {
	c.t.Helper()
	client, err := wgctrl.New()
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	d, err := client.Device(c.name)
	if err != nil {
		c.t.Fatalf("read %s: %v", c.name, err)
	}
	return d
}
