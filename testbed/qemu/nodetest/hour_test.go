package nodetest

import (
	"strings"
	"testing"
)

// What is over the goal is marked, and an error.
func TestHour(t *testing.T) {
	h := &Hour{Arch: "amd64", Variant: "default", Mesh: 0.6, Alone: 0.3, Watched: 60}
	err := h.Fault()
	if err == nil || !strings.Contains(err.Error(), "0.60 s in a mesh") || strings.Contains(err.Error(), "alone") {
		t.Errorf("%v", err)
	}
	var b strings.Builder
	h.Print(&b)
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 4 || strings.Contains(lines[1], "MISSED") || !strings.HasSuffix(lines[2], "0.60 s  MISSED") {
		t.Errorf("%s", b.String())
	}
	h.Mesh = hourMost
	if err := h.Fault(); err != nil {
		t.Error(err)
	}
}
