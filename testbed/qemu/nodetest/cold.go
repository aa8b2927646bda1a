package nodetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// Flash is a node whose program lies in a squashfs on a disk, as on a router.
type Flash interface {
	// Must gives the answer to one of the machine's own commands, see package guest.
	Must(ctx context.Context, words ...string) (string, error)
	// Program is the agent's.
	Program() string
}

// Cost is what something took. Memory is in KiB.
type Cost struct {
	What string `json:"what"`
	// MS is how long it took until its end was seen: the handshake, the last word of a command, the new gateway.
	MS int64 `json:"ms"`
	// Read is what was read from the disk, compressed, and Loaded the program's pages that came into the page cache.
	Read   int `json:"read_kib"`
	Loaded int `json:"loaded_kib"`
	// Agent is the CPU time of the agent, Machine that of all, the agent's included.
	Agent   int `json:"agent_cpu_ms"`
	Machine int `json:"machine_cpu_ms"`
}

// flashRate is what a 560 MHz 24Kc may decompress, in KiB a second: an estimate. A PC does 35 MB/s (measured), a 200
// MHz ARM9 just under 1 MB/s (linux-arm-kernel, February 2012).
const flashRate = 2000

// OnRouter is how long decompressing alone may take a router, by flashRate. A block of which some pages are in the page
// cache is decompressed as a whole.
func (c *Cold) OnRouter(x Cost) time.Duration {
	return time.Duration(x.Read) * time.Second / flashRate * time.Duration(c.Program) / time.Duration(c.Packed)
}

// Cold is what a program in flash costs on one machine.
type Cold struct {
	Arch    string `json:"arch"`
	Variant string `json:"variant"`
	// Program is the size of the program, Packed that of the squashfs, Rest the agent's memory at rest by exact count;
	// KiB.
	Program int    `json:"program_kib"`
	Packed  int    `json:"packed_kib"`
	Rest    int    `json:"memory_at_rest_kib"`
	Costs   []Cost `json:"costs"`
}

// What Costs has.
const (
	coldStart  = "start to handshake, cold"
	coldStatus = "status, cold"
	firstCold  = "first failover, cold"
	warm       = "failover, warm"
	cold       = "failover, cold"
)

// settle is how long the agent is left alone before it loses its gateway: until it has given back what it does not need
// (package lowmem: five seconds after the last change), and a little more.
const settle = 8 * time.Second

// Cold measures what a start, a command and failovers cost when nothing of the program lies in the page cache, beside
// the same failovers when all of it does, by turns.
func (t *Test) Cold(ctx context.Context, f Flash, device string, failovers int, into *Cold) error {
	m := flashMeter{t: t, f: f, stat: "/sys/block/" + strings.TrimPrefix(device, "/dev/") + "/stat", into: into}
	steps := []step{
		{"boot with the clock in 1970 and no key", t.boot},
		{"configure", t.configure},
		{coldStart, m.start},
		{coldStatus, m.status},
	}
	lose := func(what string) {
		steps = append(steps, step{what, func(ctx context.Context) (string, error) { return m.failover(ctx, what) }})
	}
	lose(firstCold)
	for range failovers {
		lose(warm)
		lose(cold)
	}
	for _, s := range steps {
		if err := t.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// flashMeter measures costs.
type flashMeter struct {
	t    *Test
	f    Flash
	stat string // of the disk
	into *Cold
}

// flashed is what has been taken up to a moment. Memory is in KiB, CPU time in clock ticks.
type flashed struct {
	at                           time.Time
	read, cached, agent, machine int
	memory                       int // the agent's, counted
}

// look reads the counters; pid is 0 while no agent runs.
func (m flashMeter) look(ctx context.Context, pid int) (s flashed, err error) {
	disk, err := m.t.Node.Read(ctx, m.stat)
	if err != nil {
		return s, err
	}
	if s.read, err = readKiB(disk); err != nil {
		return s, err
	}
	text, err := m.f.Must(ctx, "cached", m.f.Program())
	if err != nil {
		return s, err
	}
	if s.cached, err = strconv.Atoi(text); err != nil {
		return s, err
	}
	if pid != 0 {
		u, err := m.t.usage(ctx, pid)
		if err != nil {
			return s, err
		}
		s.agent, s.memory = u.ticks, u.exact
	}
	if text, err = m.t.Node.Read(ctx, "/proc/stat"); err != nil {
		return s, err
	}
	s.machine, err = busyTicks(text)
	s.at = time.Now()
	return s, err
}

// readKiB is what was read from a disk: the third number of /sys/block/DEVICE/stat, in sectors of 512 bytes
// (Documentation/block/stat.rst).
func readKiB(stat string) (int, error) {
	f := strings.Fields(stat)
	if len(f) < 3 {
		return 0, fmt.Errorf("disk: stat: %q", stat)
	}
	sectors, err := strconv.Atoi(f[2])
	return sectors / 2, err
}

// busyTicks is the CPU time of the machine's processor: all of the first line of proc_stat(5) but the fourth and the
// fifth number, which are idle.
func busyTicks(stat string) (n int, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != "cpu" {
		return 0, fmt.Errorf("processor: stat: %q", line)
	}
	for i, word := range f[1:8] {
		ticks, err := strconv.Atoi(word)
		if err != nil {
			return 0, fmt.Errorf("processor: stat: %w", err)
		}
		if i != 3 && i != 4 {
			n += ticks
		}
	}
	return n, nil
}

// drop empties the page cache, of what no process has in its address space.
func (m flashMeter) drop(ctx context.Context) error {
	return m.t.Node.Write(ctx, "/proc/sys/vm/drop_caches", "3\n")
}

// add notes what lies between two moments, of which the second has the time.
func (m flashMeter) add(what string, a, b flashed, took time.Duration) string {
	c := Cost{What: what, MS: took.Milliseconds(), Read: b.read - a.read, Loaded: b.cached - a.cached,
		Agent: (b.agent - a.agent) * 1000 / clockTicks, Machine: (b.machine - a.machine) * 1000 / clockTicks}
	m.into.Costs = append(m.into.Costs, c)
	return fmt.Sprintf("%d ms, %d KiB read, %d loaded, CPU %d ms of %d", c.MS, c.Read, c.Loaded, c.Agent, c.Machine)
}

func (m flashMeter) start(ctx context.Context) (string, error) {
	if err := m.drop(ctx); err != nil {
		return "", err
	}
	before, err := m.look(ctx, 0)
	if err != nil {
		return "", err
	}
	if _, err := m.t.connect(ctx); err != nil {
		return "", err
	}
	pid, err := m.t.Node.PID(ctx)
	if err != nil {
		return "", err
	}
	after, err := m.look(ctx, pid)
	if err != nil {
		return "", err
	}
	return m.add(coldStart, before, after, time.Duration(m.t.measured.HandshakeMS)*time.Millisecond), nil
}

func (m flashMeter) status(ctx context.Context) (string, error) {
	if err := m.rest(ctx, true); err != nil {
		return "", err
	}
	before, err := m.look(ctx, 0)
	if err != nil {
		return "", err
	}
	r, err := m.t.Node.Agent(ctx, "status")
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("wguplink status: code %d: %s", r.Code, r.Out)
	}
	if err != nil {
		return "", err
	}
	took := time.Since(before.at)
	after, err := m.look(ctx, 0)
	if err != nil {
		return "", err
	}
	return m.add(coldStatus, before, after, took), nil
}

// rest waits until the agent has given back what it does not need; then the page cache is made empty or full.
func (m flashMeter) rest(ctx context.Context, empty bool) error {
	if err := topology.Pause(ctx, settle); err != nil {
		return err
	}
	if empty {
		return m.drop(ctx)
	}
	_, err := m.f.Must(ctx, "load", m.f.Program())
	return err
}

// failover takes the gateway in use off the net until another has taken over.
func (m flashMeter) failover(ctx context.Context, what string) (string, error) {
	if err := m.rest(ctx, what != warm); err != nil {
		return "", err
	}
	pid, err := m.t.Node.PID(ctx)
	if err != nil {
		return "", err
	}
	before, err := m.look(ctx, pid)
	if err != nil {
		return "", err
	}
	m.into.Rest = before.memory
	o, _, err := m.t.happens(ctx, scenario.CutGateway)
	if err != nil {
		return "", err
	}
	after, err := m.look(ctx, pid)
	if err != nil {
		return "", err
	}
	if err := m.t.Happen(ctx, topology.Mended, ""); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; memory before %d KiB; ping over bat0 after %d ms", m.add(what, before, after, o.Connected),
		before.memory, o.Took.Milliseconds()), nil
}
