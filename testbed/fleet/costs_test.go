package fleet

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The engines, given the same events once more, do the same: so what is measured is what the fleet has done.
func TestCosts(t *testing.T) {
	t.Parallel()
	o := small(50)
	all, err := Costs(o, 10, 50)
	if err != nil {
		t.Fatal(err)
	}
	peers, err := PeerCosts(10, 300)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{10, 50} {
		if c := all[i]; c.Nodes != n || c.Steps < 100*n || c.Engines <= 0 || c.Took < c.Engines {
			t.Errorf("%+v", c)
		}
	}
	for i, n := range []int{10, 300} {
		if c := peers[i]; c.Peers != n || c.List <= 0 || c.Race <= 0 || c.Rest <= 0 {
			t.Errorf("%+v", c)
		}
	}
	var b bytes.Buffer
	ReportCosts(&b, all, peers)
	for _, row := range []string{"\n| 50 | ", "\n| 300 | "} {
		if !strings.Contains(b.String(), row) {
			t.Errorf("no row %q in\n%s", row, b.String())
		}
	}
}

// docs/fleet.md has each scenario, with its picture and each of its goals met.
func TestDocument(t *testing.T) {
	const docs = "../../docs"
	text, err := os.ReadFile(filepath.Join(docs, "fleet.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Scenarios() {
		goals := 0
		for _, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, "| "+s.Name+" | ") && strings.HasSuffix(line, " | met |") {
				goals++
			}
		}
		// Its own, and those of all: handshakes that wait, and a gateway for every node.
		if want := len(s.goals(new(Result))) + 2; goals != want {
			t.Errorf("%s: %d goals are met in docs/fleet.md, of %d", s.Name, goals, want)
		}
		picture := "fleet/" + s.Name + ".svg"
		if _, err := os.Stat(filepath.Join(docs, picture)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(text), "("+picture+")") {
			t.Errorf("docs/fleet.md does not show %s", picture)
		}
	}
	if strings.Contains(string(text), "**missed**") {
		t.Error("docs/fleet.md has goals that were missed")
	}
}
