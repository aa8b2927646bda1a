package measure

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/cputime"
	"wguplink/testbed/gateway"
	"wguplink/testbed/topology"
)

var (
	idlePackets = Metric{Name: "packets sent by the WAN a minute, idle", Target: 45, AtMost: true}
	idleProbes  = Metric{Name: "probes a minute, idle", Target: 30, AtMost: true}
	idleWakeups = Metric{Name: "wake-ups of the agent's threads a minute, idle", Target: threadWakeups, AtMost: true}
	idleCPU     = Metric{Name: "agent's CPU time of an idle hour", Unit: "s", Target: 0.5, Informs: true}
	busyProbes  = Metric{Name: "probes a minute, busy", AtMost: true}
	busyWakeups = Metric{Name: "wake-ups of the agent's threads a minute, busy", Target: threadWakeups, AtMost: true}
)

const (
	restTime = time.Minute
	// threadWakeups is far below what a loop that polls would need. The agent itself wakes up 60 times a minute at most
	// to look at WireGuard, and once for each answer; each time Go's runtime has threads of its own go to sleep a few
	// times.
	threadWakeups = 2000
	// settle is how long after its start a kernel still solicits routers and reports its multicast groups.
	settle = 20 * time.Second
	// busy is between two frames on a busy link: less than the silence after which an agent probes.
	busy = 200 * time.Millisecond
)

// restIdle has nothing in the mesh.
func restIdle(t *Measurement) error {
	g, err := t.restful()
	if err != nil {
		return err
	}
	spent, err := cputime.Of(t.Agent.PID())
	if err != nil {
		return err
	}
	packets, probes, wakeups, err := t.rest(g)
	if err != nil {
		return err
	}
	now, err := cputime.Of(t.Agent.PID())
	if err != nil {
		return err
	}
	t.number(idlePackets, packets)
	t.number(idleProbes, probes)
	t.number(idleWakeups, wakeups)
	t.values[idleCPU.Name] = (now - spent).Seconds() * float64(time.Hour/restTime)
	return nil
}

// restBusy has a frame and its answer five times a second.
func restBusy(t *Measurement) error {
	g, err := t.restful()
	if err != nil {
		return err
	}
	t.frames = t.Layer2("mesh-vpn", busy)
	if _, err := t.frames.Await(t.ctx, time.Now(), nil); err != nil {
		return err
	}
	_, probes, wakeups, err := t.rest(g)
	if err != nil {
		return err
	}
	t.number(busyProbes, probes)
	t.number(busyWakeups, wakeups)
	return nil
}

// restful makes a node that is connected and has settled, without frames and without debug output. The program is the
// plain one: under a clock of its own each look at the clock would be a wake-up.
func (t *Measurement) restful() (*topology.Gateway, error) {
	if err := t.make(topology.Options{}, nil); err != nil {
		return nil, err
	}
	t.Agent.Binary = t.c.Plain
	if err := t.Agent.Configure(topology.UCI(t.BrokerOptions(), t.Sections())); err != nil {
		return nil, err
	}
	first, _, err := t.start()
	if err != nil {
		return nil, err
	}
	t.frames.Close()
	t.frames = nil
	return t.Named(first.Gateway), t.pause(settle)
}

// rest counts for a while: packets that the node sends on its WAN, echo requests that reach the gateway inside the
// tunnel, and how often the agent's threads went to sleep.
func (t *Measurement) rest(g *topology.Gateway) (packets, probes, wakeups int, err error) {
	echoes, err := listenEchoes(g)
	if err != nil {
		return 0, 0, 0, err
	}
	defer echoes.Close()
	sent, err := t.wanPackets()
	if err != nil {
		return 0, 0, 0, err
	}
	slept, err := sleeps(t.Agent.PID())
	if err != nil {
		return 0, 0, 0, err
	}
	if err := t.pause(restTime); err != nil {
		return 0, 0, 0, err
	}
	sentNow, err := t.wanPackets()
	if err != nil {
		return 0, 0, 0, err
	}
	sleptNow, err := sleeps(t.Agent.PID())
	if err != nil {
		return 0, 0, 0, err
	}
	for thread, n := range sleptNow {
		wakeups += n - slept[thread]
	}
	return int(sentNow - sent), int(echoes.n.Load()), wakeups, nil
}

// wanPackets is how many packets the node has sent on its WAN.
func (t *Measurement) wanPackets() (uint64, error) {
	l, err := t.Node.Netlink().LinkByName("wan")
	if err != nil {
		return 0, fmt.Errorf("count packets on wan: %w", err)
	}
	s := l.Attrs().Statistics
	if s == nil || s.TxPackets > math.MaxInt64 {
		return 0, errors.New("count packets on wan: the kernel gives no counters")
	}
	return s.TxPackets, nil
}

// sleeps gives how often each thread of a process has gone to sleep by itself (proc_pid_status(5)).
func sleeps(pid int) (map[string]int, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("count the sleeps of process %d: it has no threads: %w", pid, err)
	}
	threads := map[string]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread ended meanwhile
		}
		n := -1
		if err == nil {
			n, err = voluntary(string(text))
		}
		if err != nil {
			return nil, fmt.Errorf("count the sleeps of process %d: %s: %w", pid, name, err)
		}
		threads[name] = n
	}
	return threads, nil
}

// voluntary finds the voluntary context switches in a thread's status.
func voluntary(status string) (int, error) {
	for _, l := range strings.Split(status, "\n") {
		if v, ok := strings.CutPrefix(l, "voluntary_ctxt_switches:"); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, errors.New("no voluntary_ctxt_switches")
}

// echoes counts the ICMPv6 echo requests that come out of a gateway's WireGuard device.
type echoes struct {
	*os.File
	n atomic.Int64
}

func listenEchoes(g *topology.Gateway) (*echoes, error) {
	f, err := g.Host.Packets(gateway.DefaultInterface, unix.ETH_P_IPV6, unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	e := &echoes{File: f}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, err := e.Read(buf)
			if err != nil {
				return
			}
			if isEcho(buf[:n]) {
				e.n.Add(1)
			}
		}
	}()
	return e, nil
}

// isEcho says whether a packet is an ICMPv6 echo request (RFC 4443, section 4.1), without extension headers.
func isEcho(p []byte) bool {
	return len(p) > 40 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_ICMPV6 && p[40] == 128
}
