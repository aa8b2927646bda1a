package netlab

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Stats is what a process uses, from /proc/<pid>/status and stat.
type Stats struct {
	RSS     int64 // bytes, VmRSS
	RSSAnon int64 // bytes, RssAnon: what the kernel cannot drop
	RSSFile int64 // bytes, RssFile: mapped files, mostly the program itself
	Threads int
	User    time.Duration // CPU time in user mode, in steps of 10 ms
	System  time.Duration // CPU time in the kernel, in steps of 10 ms
}

// userHZ is the unit of CPU times in /proc, 100 on all architectures of Linux
// that Go runs on (proc_pid_stat(5), sysconf(_SC_CLK_TCK)).
const userHZ = 100

// ReadStats reads the figures of a process of the lab.
func ReadStats(pid int) (Stats, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Stats{}, fmt.Errorf("netlab: stats of process %d: %w", pid, err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stats{}, fmt.Errorf("netlab: stats of process %d: %w", pid, err)
	}
	s, err := parseStats(status, stat)
	if err != nil {
		return Stats{}, fmt.Errorf("netlab: stats of process %d: %w", pid, err)
	}
	return s, nil
}

func parseStats(status, stat []byte) (s Stats, err error) {
	fields := make(map[string]int64)
	for _, line := range strings.Split(string(status), "\n") {
		key, value, _ := strings.Cut(line, ":")
		value, kib := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		if kib {
			n <<= 10
		}
		fields[key] = n
	}
	for _, f := range []struct {
		key string
		dst *int64
	}{{"VmRSS", &s.RSS}, {"RssAnon", &s.RSSAnon}, {"RssFile", &s.RSSFile}} {
		n, ok := fields[f.key]
		if !ok {
			return Stats{}, fmt.Errorf("no %s in status: the process has ended", f.key)
		}
		*f.dst = n
	}
	s.Threads = int(fields["Threads"])

	// The second field is the name in parentheses and may contain anything;
	// utime and stime are the 14th and 15th.
	rest := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(rest) < 13 {
		return Stats{}, fmt.Errorf("malformed stat %q", stat)
	}
	for _, f := range []struct {
		field int
		dst   *time.Duration
	}{{14, &s.User}, {15, &s.System}} {
		ticks, err := strconv.ParseInt(string(rest[f.field-3]), 10, 64)
		if err != nil {
			return Stats{}, fmt.Errorf("malformed stat %q: %w", stat, err)
		}
		*f.dst = time.Duration(ticks) * time.Second / userHZ
	}
	return s, nil
}
