package nowait

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Packets come with the address of the sender, in both families, and without any that is told.
func TestPackets(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		to, family := netip.MustParseAddr(addr), unix.AF_INET6
		bind := unix.Sockaddr(&unix.SockaddrInet6{Addr: to.As16()})
		if to.Is4() {
			family, bind = unix.AF_INET, &unix.SockaddrInet4{Addr: to.As4()}
		}
		const protocol = 253 // for experiments (RFC 3692)
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, bind); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if _, _, err := Receive(fd, b); !Again(err) {
			t.Errorf("before any packet: %v", err)
		}
		if err := Send(fd, []byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		n, from, err := Receive(fd, b)
		if err != nil || from != to || !bytes.HasSuffix(b[:n], []byte("hello")) {
			t.Errorf("%q from %s, %v", b[:n], from, err)
		}
		if n, from, err := receiveOld(fd, b); !Again(err) {
			t.Errorf("as before Linux 4.3: %d bytes from %s, %v", n, from, err)
		}
		if err := sendOld(fd, []byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		n, from, err = receiveOld(fd, b)
		if err != nil || from != to || !bytes.HasSuffix(b[:n], []byte("hello")) {
			t.Errorf("as before Linux 4.3: %q from %s, %v", b[:n], from, err)
		}
	}
	if err := Send(-1, []byte{0}, netip.MustParseAddr("::1")); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a socket: %v", err)
	}
	if _, _, err := Receive(-1, make([]byte, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a socket: %v", err)
	}
}

// A file of /proc can be read again and again.
func TestRead(t *testing.T) {
	f, err := os.Open("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	b := make([]byte, 100)
	n, err := Read(fd, b)
	if err != nil || n == 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	first := string(b[:n])
	if n, err := Read(fd, b); n != 0 || err != nil {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
	if err := Rewind(fd); err != nil {
		t.Fatal(err)
	}
	if n, err := Read(fd, b); err != nil || string(b[:n]) != first {
		t.Errorf("again: %q, %v; want %q", b[:n], err, first)
	}
	if _, err := Read(-1, b); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a file: %v", err)
	}
	if err := Rewind(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a file: %v", err)
	}
}

// A timer ends once, also one that should have ended by now.
func TestTimer(t *testing.T) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, after := range []time.Duration{time.Millisecond, 0, -time.Hour} {
		if err := SetTimer(fd, after); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8)
		if n, err := Read(fd, b); n != 8 || err != nil { // waits: the descriptor may
			t.Errorf("after %v: %d bytes, %v", after, n, err)
		}
	}
	if err := SetTimer(-1, time.Second); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a timer: %v", err)
	}
}

func TestSinceBoot(t *testing.T) {
	var before, after unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &before); err != nil {
		t.Fatal(err)
	}
	up, err := SinceBoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &after); err != nil {
		t.Fatal(err)
	}
	if up < time.Duration(before.Nano()) || up > time.Duration(after.Nano()) {
		t.Errorf("%v is not between %v and %v", up, time.Duration(before.Nano()), time.Duration(after.Nano()))
	}
}
