package status

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteRead(t *testing.T) {
	dir := t.TempDir()
	if s, err := Read(dir, "mesh", 0); err != nil || s.State != Stopped || s.Uplink != "mesh" {
		t.Errorf("nothing written yet: %+v, %v", s, err)
	}
	in := Snapshot{Uplink: "mesh", State: Connected, Since: 5000, Interface: "wg_mesh",
		Gateway: &Gateway{Name: "gw1", HandshakeAt: 9000}}
	if err := Write(dir, in); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir, "mesh", 15999)
	if err != nil {
		t.Fatal(err)
	}
	want := in
	want.Seconds = 10
	want.Gateway = &Gateway{Name: "gw1", HandshakeAt: 9000, HandshakeAge: 6}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := os.WriteFile(File(dir, "mesh"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir, "mesh", 0); err == nil || !strings.Contains(err.Error(), "mesh.json") {
		t.Errorf("broken file: %v", err)
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	Print(&b, Snapshot{Uplink: "mesh", State: Connecting, Seconds: 61, Cause: NoHandshake,
		Reason: "no gateway answers", Interface: "wg_mesh",
		Backend: "kernel", MTU: 1420, Warnings: []string{"bat0 does not exist"}})
	want := `mesh: connecting for 1 minute, 1 second
  why         no_handshake: no gateway answers
  wireguard   wg_mesh (kernel), MTU 1420
  warning     bat0 does not exist
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrintBatman(t *testing.T) {
	for want, b := range map[string]*Batman{
		"": nil,
		"  batman      bat0 (BATMAN_V), no neighbour heard\n": {Interface: "bat0", Algorithm: "BATMAN_V"},
		"  batman      bat0 (BATMAN_IV), hears 02:00:00:00:00:01, 02:00:00:00:00:02\n": {Interface: "bat0",
			Algorithm:  "BATMAN_IV",
			Neighbours: []string{"02:00:00:00:00:01", "02:00:00:00:00:02"}},
	} {
		var out bytes.Buffer
		Print(&out, Snapshot{Uplink: "mesh", State: Connected, Interface: "wg_mesh", Batman: b})
		if got := "mesh: connected for 0 seconds\n  wireguard   wg_mesh\n" + want; got != out.String() {
			t.Errorf("%+v is printed\n%s, want\n%s", b, &out, got)
		}
	}
}

func TestNowRuns(t *testing.T) {
	a := Now()
	if a <= 0 || Now() < a {
		t.Errorf("uptime %d", a)
	}
}
