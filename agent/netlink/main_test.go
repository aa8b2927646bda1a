package netlink_test

import (
	"testing"

	"wguplink/agent/testns"
)

func TestMain(m *testing.M) { testns.Main(m) }
