package nodetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	Loaded int `json:"decompressed_kib"`
	// Agent is the CPU time of the agent, Machine that of all, the agent's included.
	Agent   int `json:"agent_cpu_ms"`
	Machine int `json:"machine_cpu_ms"`
}

// flashRate is what a 560 MHz 24Kc may decompress, in KiB a second: an estimate. A PC does 35 MB/s (measured), a 200
// MHz ARM9 just under 1 MB/s (linux-arm-kernel, February 2012).
const flashRate = 2000

// OnRouter is how long loading alone may take a router, by flashRate.
func (c Cost) OnRouter() time.Duration {
	return time.Duration(c.Loaded) * time.Second / flashRate
}

// Cold is what a program in flash costs on one machine.
type Cold struct {
	Arch    string `json:"arch"`
	Variant string `json:"variant"`
	// Program is the size of the program, Mapped what of it the agent's address space has at rest; KiB.
	Program int    `json:"program_kib"`
	Mapped  int    `json:"mapped_at_rest_kib"`
	Costs   []Cost `json:"costs"`
}

// What Costs has.
const (
	coldStart  = "start to handshake, cold"
	coldStatus = "status, cold"
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
	for range failovers {
		steps = append(steps, step{warm, func(ctx context.Context) (string, error) { return m.failover(ctx, false) }},
			step{cold, func(ctx context.Context) (string, error) { return m.failover(ctx, true) }})
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
		s.agent = u.ticks
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
func (m flashMeter) failover(ctx context.Context, empty bool) (string, error) {
	what := warm
	if empty {
		what = cold
	}
	if err := m.rest(ctx, empty); err != nil {
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
	status, err := m.t.Node.Read(ctx, "/proc/"+strconv.Itoa(pid)+"/status")
	if err != nil {
		return "", err
	}
	mapped, err := field(status, "RssFile:")
	if err != nil {
		return "", err
	}
	if empty {
		m.into.Mapped = mapped
	}
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
	return fmt.Sprintf("%s; mapped before %d KiB; ping over bat0 after %d ms", m.add(what, before, after, o.Connected),
		mapped, o.Took.Milliseconds()), nil
}

// Median is the middle one of what was measured several times, each figure by itself; ok is false where there is none.
func (c *Cold) Median(what string) (m Cost, n int) {
	var all []Cost
	for _, x := range c.Costs {
		if x.What == what {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return m, 0
	}
	middle := func(of func(Cost) int) int {
		var v []int
		for _, x := range all {
			v = append(v, of(x))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return Cost{What: what, MS: int64(middle(func(x Cost) int { return int(x.MS) })),
		Read: middle(func(x Cost) int { return x.Read }), Loaded: middle(func(x Cost) int { return x.Loaded }),
		Agent:   middle(func(x Cost) int { return x.Agent }),
		Machine: middle(func(x Cost) int { return x.Machine })}, len(all)
}

// coldGoal is what a failover may cost more when nothing of the program lies in the page cache.
const coldGoal = time.Second

// Print prints the medians as a table.
func (c *Cold) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s variant: program %d KiB in squashfs (xz, 256 KiB), %d KiB mapped at rest; medians\n", c.Arch,
		c.Variant, c.Program, c.Mapped)
	fmt.Fprintf(w, "%-26s %4s %9s %10s %12s %11s %13s %13s\n", "", "runs", "time", "read", "decompressed", "agent CPU",
		"machine CPU", "at 2 MB/s")
	for _, what := range []string{coldStart, coldStatus, warm, cold} {
		m, n := c.Median(what)
		if n == 0 {
			return errors.New("not measured: " + what)
		}
		fmt.Fprintf(w, "%-26s %4d %6d ms %6d KiB %8d KiB %8d ms %10d ms %11.1f s\n", what, n, m.MS, m.Read, m.Loaded,
			m.Agent, m.Machine, m.OnRouter().Seconds())
	}
	a, _ := c.Median(warm)
	b, _ := c.Median(cold)
	more := time.Duration(b.MS-a.MS) * time.Millisecond
	word := "kept"
	if more > coldGoal {
		word = "missed"
	}
	_, err := fmt.Fprintf(w, "a failover costs %.2f s more from a cold page cache; goal %v: %s\n", more.Seconds(),
		coldGoal, word)
	return err
}
