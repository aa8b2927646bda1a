package bench

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

// Both programs carry TCP, with and without checksums, and are told apart from nothing but what they did.
func TestCompare(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	library := filepath.Join(t.TempDir(), "wireguard-go")
	build := exec.CommandContext(ctx, "go", "build", "-o", library, "golang.zx2c4.com/wireguard")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ours := Program{Name: "ours", Path: "../../build/wguplink-userspace", Args: []string{"wireguard-go"}}
	theirs := Program{Name: "theirs", Path: library, Args: []string{"-f"}}
	for _, zero := range []bool{false, true} {
		s := Setting{ZeroChecksum: zero, Stream: 200 * time.Millisecond, After: time.Millisecond}
		p, err := Compare(ctx, ours, theirs, s, 1, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]Result{ours.Name: p.Ours[0], theirs.Name: p.Theirs[0]} {
			if r.Mbit <= 0 || r.CPU <= 0 || r.Packets <= 0 || r.Rest <= 0 || r.Peak < r.Rest || r.After <= 0 {
				t.Errorf("zero checksums %v: %s gives %+v", zero, name, r)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	p := Pairs{
		Ours: []Result{{Mbit: 100, CPU: 4, Peak: 7, Retransmits: 1}, {Mbit: 300, CPU: 2, Peak: 9, Retransmits: 3},
			{Mbit: 200, CPU: 3, Peak: 8, Retransmits: 2}},
		Theirs: []Result{{Mbit: 100, CPU: 2}, {Mbit: 100, CPU: 2}, {Mbit: 400, CPU: 1}},
	}
	f := p.Figures()
	if f.Ratio != 1 || f.CPURatio != 2 || f.PeakHighest != 9 {
		t.Errorf("ratio %v, CPU %v, highest %v; want 1, 2, 9", f.Ratio, f.CPURatio, f.PeakHighest)
	}
	if f.Ours.Mbit != 200 || f.Ours.Retransmits != 2 || f.Ours.CPU != 3 || f.Theirs.Mbit != 100 {
		t.Errorf("medians %+v and %+v", f.Ours, f.Theirs)
	}
}
