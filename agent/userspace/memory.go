//go:build userspace

package userspace

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	memInfoPath = "/proc/meminfo" // Linux, Documentation/filesystems/proc.rst

	// ramFloor is the available memory in bytes below which we do not start.
	ramFloor = 24 << 20
)

// memInfo is what we need of /proc/meminfo, in bytes.
type memInfo struct {
	total     uint64
	available uint64
}

func readMemInfo(path string) (memInfo, error) {
	if path == "" {
		path = memInfoPath
	}
	f, err := os.Open(path)
	if err != nil {
		return memInfo{}, fmt.Errorf("size of memory: %w", err)
	}
	defer f.Close()
	fields := map[string]uint64{"MemTotal": 0, "MemAvailable": 0}
	found := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ":")
		if _, ok := fields[name]; !ok {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 53)
		if err != nil {
			return memInfo{}, fmt.Errorf("size of memory: %s in %s: %w", name, path, err)
		}
		fields[name] = kib << 10
		found++
	}
	if found != len(fields) {
		return memInfo{}, fmt.Errorf("size of memory: %s has no MemTotal or no MemAvailable", path)
	}
	return memInfo{fields["MemTotal"], fields["MemAvailable"]}, nil
}

// check refuses to start where the process would be the one that makes the router run out of memory.
func (m memInfo) check() error {
	if m.available >= ramFloor {
		return nil
	}
	return fmt.Errorf(
		"MemAvailable is %.1f MiB, userspace WireGuard needs %d MiB: install kmod-wireguard (kernel WireGuard), "+
			"which needs far less",
		float64(m.available)/(1<<20), ramFloor>>20)
}
