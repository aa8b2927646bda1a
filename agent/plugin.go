package main

import (
	"fmt"
	"io"
	"os"
)

// luciPlugin answers rpcd; nil in a build without brokers, which is for routers that have no room for LuCI.
var luciPlugin func(o options, args []string, stdin io.Reader, stdout, stderr io.Writer) int

// runPlugin is the command luci.
func runPlugin(o options, args []string, stdout, stderr io.Writer) int {
	if luciPlugin == nil {
		fmt.Fprintln(stderr,
			"wguplink luci: this build has no pages in LuCI; install the package wguplink instead of wguplink-mini")
		return exitFailed
	}
	return luciPlugin(o, args, os.Stdin, stdout, stderr)
}
