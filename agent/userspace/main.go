//go:build userspace

package userspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"

	"wguplink/agent/netlink"
)

// Supported tells whether this binary contains userspace WireGuard (build tag userspace).
const Supported = true

// closeTimeout bounds the tidy end of the device after SIGTERM; the kernel removes the tun in any case when we exit.
const closeTimeout = time.Second

// Main creates the tun device ifname and its UAPI socket (/var/run/wireguard/<ifname>.sock, which agent/wireguard
// finds) and moves packets until the device is deleted or SIGTERM or SIGINT comes. It returns the exit code: 0 after
// either of these, 1 when the start failed or a fatal error ended it. A failed start is reported to the parent when
// there is a readiness pipe (see Spawn), else on standard error.
func Main(ifname string, o Options) int {
	// The agent that started us may die and take the reading end of our standard error with it; that must not end the
	// tunnel.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)

	ready := takeReadiness()
	log := newRateLog(os.Stderr, "wireguard-go "+ifname+": ", time.Now)
	alias := os.Getenv(aliasEnv)
	os.Unsetenv(aliasEnv)
	s, err := start(ifname, alias, o, log)
	if err != nil {
		if !ready.fail(err) {
			log.printf("%v", err)
		}
		return 1
	}
	ready.ok()

	select {
	case <-term:
	case <-s.dev.Wait():
		err = s.tun.cause()
	case err = <-s.accept:
	}
	s.close()
	if err != nil {
		log.printf("%v", err)
		return 1
	}
	return 0
}

// server is one running device with its control socket.
type server struct {
	tun    *tunDevice
	dev    *device.Device
	uapi   net.Listener
	accept chan error // why the control socket failed
}

func start(ifname, alias string, o Options, log *rateLog) (*server, error) {
	if err := checkName(ifname); err != nil {
		return nil, err
	}
	mem, err := readMemInfo(o.MemInfo)
	if err != nil {
		return nil, err
	}
	if err := mem.check(); err != nil {
		return nil, err
	}

	t, err := openTUN(ifname, log.printf)
	if err != nil {
		return nil, err
	}
	if err := setAlias(ifname, alias); err != nil {
		t.Close()
		return nil, err
	}
	// The tun comes first: the kernel gives its name to one process only, so that the socket is ours as well.
	uapi, err := listenUAPI(ifname)
	if err != nil {
		t.Close()
		return nil, err
	}
	l := limitsFor(mem.total)
	t.setQueue(l.queue) // it only costs speed when it fails
	d := newDoors(l)
	dev, err := newDevice(t, newBind(d, socketMemory(mem.total)), d, log.printf)
	if err != nil {
		uapi.Close()
		return nil, err
	}
	s := &server{tun: t, dev: dev, uapi: uapi, accept: make(chan error, 1)}
	go s.serve()
	return s, nil
}

// setAlias marks the interface, so that an agent that comes after a crash of the one before knows whose it is. It goes
// with this process, so there is never one without a mark.
func setAlias(ifname, alias string) error {
	if alias == "" {
		return nil
	}
	link, err := netlink.LinkByName(ifname)
	if err == nil {
		err = netlink.LinkSetAlias(link, alias)
	}
	if err != nil {
		return fmt.Errorf("mark %s: %w", ifname, err)
	}
	return nil
}

func (s *server) serve() {
	for {
		c, err := s.uapi.Accept()
		if err != nil {
			s.accept <- fmt.Errorf("accept on control socket %s: %w", s.uapi.Addr(), err)
			return
		}
		go s.dev.IpcHandle(c)
	}
}

// close removes the socket and the tun.
func (s *server) close() {
	s.uapi.Close()
	s.tun.Close()
	done := make(chan struct{})
	go func() {
		s.dev.Close()
		close(done)
	}()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	}
}

// listenUAPI opens the control socket where agent/wireguard and wg(8) look for it, for root only. A stale socket of a
// killed process is replaced. The upstream listener (ipc.UAPIListen) is not used: it ends the process on any change of
// the socket's attributes, a chown for instance.
func listenUAPI(ifname string) (net.Listener, error) {
	f, err := openUAPI(ifname)
	if err != nil {
		return nil, fmt.Errorf("control socket of %s: %w", ifname, err)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("control socket of %s: %w", ifname, err)
	}
	if ul, ok := l.(*net.UnixListener); ok {
		ul.SetUnlinkOnClose(true)
	}
	return l, nil
}

// A process whose interface was deleted answers on its socket a moment longer: uapiWait bounds that moment, and
// uapiEvery is between two looks, for a socket's end is no event.
const (
	uapiWait  = 2 * time.Second
	uapiEvery = 10 * time.Millisecond
)

// openUAPI makes the control socket once no other process has it.
func openUAPI(ifname string) (*os.File, error) {
	end := time.NewTimer(uapiWait)
	defer end.Stop()
	tick := time.NewTicker(uapiEvery)
	defer tick.Stop()
	for {
		f, err := ipc.UAPIOpen(ifname)
		var errno syscall.Errno
		// A stale socket may be removed by its owner at the same moment as by us.
		if err == nil || errors.As(err, &errno) && errno != syscall.ENOENT {
			return f, err
		}
		select {
		case <-tick.C:
		case <-end.C:
			// Network namespaces have their own interfaces, but may share the directory of the sockets.
			return nil, fmt.Errorf("%w: a process in another network namespace serves an interface of this name", err)
		}
	}
}

// readiness is the writing end of the pipe on which the parent waits; the zero value has no parent.
type readiness struct{ f *os.File }

// takeReadiness picks the pipe up from the environment, once: it is not passed on.
func takeReadiness() readiness {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	os.Unsetenv(readyEnv)
	if err != nil || fd < 3 {
		return readiness{}
	}
	syscall.CloseOnExec(fd)
	return readiness{os.NewFile(uintptr(fd), "readiness pipe")}
}

func (r readiness) ok() {
	r.say("ok\n")
}

// fail tells the parent why there will be no device, and reports whether there is a parent that could be told.
func (r readiness) fail(err error) bool {
	return r.say("error: " + err.Error() + "\n")
}

func (r readiness) say(line string) bool {
	if r.f == nil {
		return false
	}
	_, err := r.f.WriteString(line)
	r.f.Close()
	return err == nil
}
