package main

import (
	"os"
	"path/filepath"
	"strings"
)

// firmware names the firmware and the program that run, in one line: what option update_watchdog takes for another one
// after an update. root is the root of the file system.
func firmware(root string) string {
	name := "wguplink " + version + " " + commit
	if b, err := os.ReadFile(filepath.Join(root, "lib/gluon/release")); err == nil {
		name = strings.TrimSpace(string(b)) + ", " + name
	}
	b, err := os.ReadFile(filepath.Join(root, "etc/openwrt_release"))
	if err != nil {
		return name
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "DISTRIB_DESCRIPTION="); ok {
			name = strings.Trim(v, `'" `) + ", " + name
		}
	}
	return name
}
