//go:build userspace

package userspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(n *namespace, c *child)
	}{
		{name: "link deleted", end: func(n *namespace, c *child) { n.deleteLink(c.name) }},
		{name: "SIGTERM", end: func(n *namespace, c *child) { c.p.Signal(syscall.SIGTERM) }},
		{name: "SIGINT", end: func(n *namespace, c *child) { c.p.Signal(syscall.SIGINT) }},
	}
	for _, tt := range tests {
		for _, up := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, up %v", tt.name, up), func(t *testing.T) {
				n := newNamespace(t)
				c := n.spawn(name("e"))
				if up {
					n.up(c.name, "10.9.0.1/24")
				}
				tt.end(n, c)
				if err := c.wait(); err != nil {
					t.Errorf("%v: %s", err, c.output())
				}
				if n.hasLink(c.name) {
					t.Error("the link is left")
				}
				if _, err := os.Stat(c.socket()); !os.IsNotExist(err) {
					t.Errorf("the socket is left: %v", err)
				}
			})
		}
	}
}

// A killed process leaves its socket; the next one takes it over.
func TestAfterKill(t *testing.T) {
	n := newNamespace(t)
	c := n.spawn(name("k"))
	c.p.Kill()
	if err := c.wait(); err == nil {
		t.Error("a killed process ended well")
	}
	if _, err := os.Stat(c.socket()); err != nil {
		t.Fatalf("no socket is left to take over: %v", err)
	}
	c = n.spawn(c.name)
	if d := c.device(); d.Name != c.name {
		t.Errorf("device %q, want %q", d.Name, c.name)
	}
}

// The tunnel goes on without the agent, whose end of the log pipe is gone.
func TestLogGone(t *testing.T) {
	n := newNamespace(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := n.spawnLog(name("p"), w)
	w.Close()
	r.Close()
	// An error that is logged, then one more question.
	conn, err := net.Dial("unix", c.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("nonsense\n")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	conn.Read(make([]byte, 1)) // the process closes the connection after it has logged
	c.device()
	c.p.Signal(syscall.SIGTERM)
	if err := c.wait(); err != nil {
		t.Error(err)
	}
}

func TestSession(t *testing.T) {
	n := newNamespace(t)
	c := n.spawn(name("s"))
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// proc(5): pid (comm) state ppid pgrp session
	_, rest, _ := strings.Cut(string(b), ") ")
	if f := strings.Fields(rest); len(f) < 4 || f[3] != fmt.Sprint(c.p.Pid) {
		t.Errorf("stat %q: not the leader of its own session", b)
	}
	cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if want := "wguplink\x00wireguard-go\x00" + c.name + "\x00"; string(cmd) != want {
		t.Errorf("command line %q, want %q", cmd, want)
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/fd/0", c.p.Pid))
	if err != nil || len(env) != 0 {
		t.Errorf("standard input has %d bytes, %v", len(env), err)
	}
}

// The runtime's poller may hear of the deletion before the read does, and says something else.
func TestDeletedWhilePolling(t *testing.T) {
	n := newNamespace(t)
	var d *tunDevice
	n.do(func() (err error) {
		d, err = openTUN(name("q"), t.Logf)
		return err
	})
	other := errors.New("not pollable")
	n.do(func() error {
		if got := d.ended(other); got != other || !errors.Is(d.cause(), other) {
			t.Errorf("with the link there: %v, cause %v", got, d.cause())
		}
		return nil
	})
	d.readErr = nil
	n.deleteLink(name("q"))
	if got := d.ended(other); got != os.ErrClosed || d.cause() != nil {
		t.Errorf("with the link gone: %v, cause %v", got, d.cause())
	}
	d.Close()
}

// A packet for a link that is down is dropped; one that the kernel does not take for another reason is an error.
func TestWriteWhileDown(t *testing.T) {
	n := newNamespace(t)
	var d *tunDevice
	n.do(func() (err error) {
		d, err = openTUN(name("q"), t.Logf)
		return err
	})
	defer d.Close()
	d.doors = newDoors(wide)
	packet := append(make([]byte, offset), append([]byte{0x45}, make([]byte, 27)...)...)
	if sent, err := d.Write([][]byte{packet}, offset); sent != 1 || err != nil {
		t.Errorf("while the link is down: %d packets, %v", sent, err)
	}
	n.up(name("q"), "10.9.0.1/24")
	if sent, err := d.Write([][]byte{packet, make([]byte, offset), packet}, offset); sent != 1 || err == nil {
		t.Errorf("an empty packet: %d packets before it, %v", sent, err)
	}
}

// The process of a deleted link answers on its socket a moment longer: the next one waits for its end.
func TestSpawnAfterDeletion(t *testing.T) {
	n := newNamespace(t)
	ln, err := listenUAPI(name("r"))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		c, err := ln.Accept() // the look of the one that comes after
		if err == nil {
			c.Close()
		}
		ln.Close()
		asked <- err
	}()
	c := n.spawn(name("r"))
	if err := <-asked; err != nil {
		t.Error(err)
	}
	if !n.hasLink(name("r")) {
		t.Error("no link")
	}
	if out := c.output(); out != "" {
		t.Errorf("it says %q", out)
	}
}

func TestSpawnErrors(t *testing.T) {
	const low = "MemTotal:  60000 kB\nMemFree: 1 kB\nMemAvailable:  20480 kB\n"
	tests := []struct {
		name    string
		ifname  string
		before  func(t *testing.T, n *namespace, ifname string)
		meminfo string
		want    []string
	}{
		{
			name: "another process", ifname: name("x"),
			before: func(t *testing.T, n *namespace, ifname string) { n.spawn(ifname) },
			want:   []string{name("x"), "exists already", "busy"},
		},
		{
			name: "another kind of link", ifname: name("y"),
			before: func(t *testing.T, n *namespace, ifname string) {
				n.do(func() error {
					return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: ifname}, PeerName: "peer"})
				})
			},
			want: []string{name("y"), "exists already"},
		},
		{
			name: "a tun of no process", ifname: name("w"),
			before: func(t *testing.T, n *namespace, ifname string) {
				n.do(func() error {
					return netlink.LinkAdd(&netlink.Tuntap{
						LinkAttrs: netlink.LinkAttrs{Name: ifname}, Mode: netlink.TUNTAP_MODE_TUN,
						Flags: netlink.TUNTAP_NO_PI,
					})
				})
			},
			want: []string{name("w"), "exists already"},
		},
		{
			name: "another namespace", ifname: name("z"),
			before: func(t *testing.T, n *namespace, ifname string) { newNamespace(t).spawn(ifname) },
			want:   []string{name("z"), "control socket", "another network namespace"},
		},
		{name: "name too long", ifname: "sixteen-letters-", want: []string{"sixteen-letters-", "1 to 15 characters"}},
		{name: "pattern", ifname: "wg%d", want: []string{"wg%d"}},
		{name: "path", ifname: "a/b", want: []string{"a/b"}},
		{name: "no figures of the memory", ifname: name("n"), meminfo: "MemFree: 1 kB\n",
			want: []string{"size of memory"}},
		{name: "too little memory", ifname: name("m"), meminfo: low,
			want: []string{"MemAvailable is 20.0 MiB", "24 MiB", "kmod-wireguard"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNamespace(t)
			if tt.before != nil {
				tt.before(t, n, tt.ifname)
			}
			if tt.meminfo != "" {
				f := t.TempDir() + "/meminfo"
				if err := os.WriteFile(f, []byte(tt.meminfo), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv(memInfoEnv, f)
			}
			had := tt.before != nil && n.hasLink(tt.ifname)
			err := n.try(func() error {
				_, err := Spawn(tt.ifname, "", nil)
				return err
			})
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not contain %q", err, w)
				}
			}
			if len(tt.ifname) < 16 && n.hasLink(tt.ifname) != had {
				t.Error("a link is left or gone")
			}
		})
	}
}

func TestSpawn(t *testing.T) {
	n := newNamespace(t)
	var pid int
	n.do(func() (err error) {
		pid, err = Spawn(name("o"), "wguplink test", nil)
		return err
	})
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	(&child{t: t, name: name("o")}).device()
	n.deleteLink(name("o"))
	if got, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}},
		int(patience.Milliseconds())); got != 1 {
		t.Errorf("process %d still runs without its link: %v", pid, err)
	}
}
