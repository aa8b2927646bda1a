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
	testns.Main(m)
}
