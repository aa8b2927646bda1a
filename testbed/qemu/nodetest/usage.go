package nodetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// clockTicks is USER_HZ, in which /proc/PID/stat counts; 100 on all these processors.
const clockTicks = 100

// usage is what a process takes. Memory is in KiB.
type usage struct {
	rss, anon, hwm, threads int
	exact, pss              int // by a count of the pages; the others are counted in batches
	ticks                   int // CPU time
}

func (t *Test) usage(ctx context.Context, pid int) (u usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	var texts [3]string
	for i, name := range []string{"/status", "/smaps_rollup", "/stat"} {
		if texts[i], err = t.Node.Read(ctx, dir+name); err != nil {
			return u, err
		}
	}
	for _, f := range []struct {
		to   *int
		text string
		name string
	}{{&u.rss, texts[0], "VmRSS:"}, {&u.anon, texts[0], "RssAnon:"}, {&u.hwm, texts[0], "VmHWM:"},
		{&u.threads, texts[0], "Threads:"}, {&u.exact, texts[1], "Rss:"}, {&u.pss, texts[1], "Pss:"}} {
		if *f.to, err = field(f.text, f.name); err != nil {
			return u, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	// After the program's name in brackets, which may hold anything: utime and stime are the 14th and 15th field
	// (proc(5)).
	_, rest, ok := strings.Cut(texts[2], ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return u, fmt.Errorf("process %d: stat: %q", pid, texts[2])
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		return u, fmt.Errorf("process %d: stat: %q", pid, texts[2])
	}
	u.ticks = user + system
	return u, nil
}

// field is the number after a name at the beginning of a line.
func field(text, name string) (int, error) {
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return strconv.Atoi(f[0])
			}
		}
	}
	return 0, fmt.Errorf("no %s in %q", name, text)
}

func trim(s string) string { return strings.TrimSpace(s) }
