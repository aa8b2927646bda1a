// Command qemu boots the lab's virtual machines and takes the node through its scenario: see `make qemu`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/nodetest"
	"wguplink/testbed/qemu/recovery"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "qemu: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	var all []string
	for _, b := range board.All {
		all = append(all, b.Arch)
	}
	o := options{out: os.Stdout}
	arches := flag.String("arch", strings.Join(all, ","), "architectures of the node")
	variants := flag.String("variants", "default,userspace,nobroker",
		"variants of the program to take through the scenario; no-ipv6 is the default one with a kernel that "+
			"has no IPv6")
	flag.IntVar(&o.jobs, "jobs", 1, "how many architectures at once")
	flag.StringVar(&o.root, "root", ".",
		"the project's folder, with what scripts/cross and scripts/cross-vm have built")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long to watch the agent at rest")
	flag.IntVar(&o.switches, "switches", 30, "how often to switch the gateway while watching the memory")
	tests := flag.Bool("tests", false, "run the unit tests that scripts/test-cross has built, in place of the scenario")
	picture := flag.String("image", "",
		"an OpenWrt or Gluon image to take through the scenario, in place of our own machines")
	standIn := flag.String("stand-in", "", "only make a small image that boots as OpenWrt's do, to try -image with")
	again := flag.Bool("again", false,
		"take what fails through the scenario once more, alone: a busy host stops a machine now and then")
	table := flag.Bool("recovery", false, "only measure how long the mesh is gone when something of a node changes")
	flag.StringVar(&o.rows, "rows", "",
		"with -recovery: only those rows, a regular expression such as 'IV, tunnel only: (id|device deleted)'")
	flash := flag.Bool("cold", false,
		"only measure what a program in squashfs costs when nothing of it lies in the page cache, on amd64, mipsel "+
			"and mips")
	flag.IntVar(&o.failovers, "failovers", 5,
		"with -cold: how many failovers from a cold page cache, and from a warm one")
	hour := flag.Bool("hour", false,
		"only measure the agent's CPU time of an idle hour, on amd64, in a machine that counts instructions")
	targets := flag.Bool("targets", false, "only print what scripts/cross calls the architectures")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("what is %q?", flag.Args())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()

	var boards []board.Board
	for _, arch := range strings.Split(*arches, ",") {
		b, err := board.Of(arch)
		if err != nil {
			return err
		}
		boards = append(boards, b)
	}
	if *targets {
		for _, b := range boards {
			fmt.Println(b.Target)
		}
		return nil
	}
	for _, v := range strings.Split(*variants, ",") {
		if v == "no-ipv6" {
			o.ways = append(o.ways, bare)
			continue
		}
		i := slices.IndexFunc(ways, func(w way) bool { return w.variant == v })
		if i < 0 {
			return fmt.Errorf("no variant %q", v)
		}
		o.ways = append(o.ways, ways[i])
	}

	o.out = &lines{w: os.Stdout}
	if *tests {
		return o.allTests(ctx, boards)
	}
	if *standIn != "" {
		return o.standIn(ctx, *standIn)
	}
	if *table {
		return o.onlyRecovery(ctx)
	}
	if *hour {
		return o.onlyHour(ctx, *again)
	}
	if *flash {
		return o.onlyCold(ctx, boards, *again)
	}
	if *picture != "" {
		r, err := o.image(ctx, *picture)
		nodetest.Print(os.Stdout, []*nodetest.Report{r})
		return err
	}
	if err := o.build(ctx, boards); err != nil {
		return err
	}
	reports := make([]*nodetest.Report, len(boards))
	var rows []recovery.Row
	var tasks []func() error
	for i, b := range boards {
		tasks = append(tasks, func() (err error) {
			reports[i], err = o.arch(ctx, b)
			return err
		})
	}
	// It mostly waits; so it comes last, where a processor may have nothing else to do. Who wants one variant does not
	// want it.
	if len(o.ways) == len(ways) && slices.ContainsFunc(boards,
		func(b board.Board) bool { return b.Arch == gatewayArch }) {
		tasks = append(tasks, func() (err error) {
			rows, err = o.recovery(ctx)
			return err
		})
	}
	errs := o.each(tasks)
	for i, err := range errs {
		if err == nil || !*again || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(o.out, "once more, alone, for it failed: %v\n", err)
		errs[i] = tasks[i]()
	}
	err := errors.Join(errs...)
	fmt.Println()
	nodetest.Print(os.Stdout, reports)
	if len(rows) > 0 {
		fmt.Println()
		recovery.Print(os.Stdout, rows)
	}
	return err
}

// each does all tasks, some at once, and gives their errors.
func (o options) each(tasks []func() error) []error {
	errs := make([]error, len(tasks))
	slots := make(chan struct{}, max(1, o.jobs))
	var running sync.WaitGroup
	for i, task := range tasks {
		running.Add(1)
		slots <- struct{}{}
		go func() {
			defer running.Done()
			errs[i] = task()
			<-slots
		}()
	}
	running.Wait()
	return errs
}

// lines keeps the lines of several writers apart.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
