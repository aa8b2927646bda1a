//go:build !nobroker

package bugreport

import (
	"testing"

	"wguplink/agent/testns"
)

func TestMain(m *testing.M) { testns.Main(m) }
