package wan

import (
	"os"
	"testing"

	"wguplink/agent/testns"
)

func TestMain(m *testing.M) {
	if os.Getenv(churnEnv) != "" {
		churning()
	}
	resolvConf = nil // of the machine that runs the tests
	testns.Main(m)
}
