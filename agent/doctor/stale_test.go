package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"wguplink/agent/config"
	"wguplink/agent/status"
)

// Where the run directory is full, it has no lock of the agent, and an old status: the agent is asked. Without an
// answer, the files have to do.
func TestAgentIsAsked(t *testing.T) {
	dir := t.TempDir()
	old := `{"uplink":"mesh","state":"connecting","cause":"no_wan"}`
	if err := os.WriteFile(filepath.Join(dir, "mesh.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := true
	word := func(name string) (status.Snapshot, bool) {
		return status.Snapshot{Uplink: name, State: status.Connected}, answers
	}
	x := newExam(Options{RunDir: dir, Uplink: config.Uplink{Name: "mesh"}, AgentsWord: word})
	for _, answers = range []bool{true, false} {
		s, err := x.snapshot()
		if err != nil || s.Uplink != "mesh" || (s.State == status.Connected) != answers || x.running() != answers {
			t.Errorf("with an answer: %v: %+v, %v, runs: %v", answers, s, err, x.running())
		}
	}
}
