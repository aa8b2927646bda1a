//go:build userspace

package userspace

import (
	"os"
	"testing"
)

// memInfoEnv makes the child read another file than /proc/meminfo.
const memInfoEnv = "WGUPLINK_TEST_MEMINFO"

// TestMain lets the test binary be the child that Spawn starts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[0] == "wguplink" && os.Args[1] == "wireguard-go" {
		os.Exit(Main(os.Args[2], Options{MemInfo: os.Getenv(memInfoEnv)}))
	}
	os.Exit(m.Run())
}
