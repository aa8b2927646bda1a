package status

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"wguplink/agent/slog"
)

func quiet(t *testing.T) *Publisher {
	return &Publisher{RunDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// The last changes are kept, bounded in number and in length, with the reason of each; a doubtful silence is none.
func TestChanges(t *testing.T) {
	p := quiet(t)
	with := func(s State, c Cause, reason, gateway string) Snapshot {
		return Snapshot{Uplink: "mesh", State: s, Cause: c, Reason: reason,
			Gateway: &Gateway{Name: gateway, PublicKey: gateway}}
	}
	said := func() (all []string) {
		s, _ := p.Last()
		for _, c := range s.Changes {
			if c.At == 0 {
				t.Errorf("%+v has no time", c)
			}
			all = append(all, c.String())
		}
		return all
	}
	p.Publish(Snapshot{Uplink: "mesh", State: Starting}, false, "")
	p.Publish(with(Connected, None, "", "gw1"), false, "")
	p.Publish(with(Suspect, NoAnswer, "gw1 is silent", "gw1"), true, "")
	p.Publish(with(Connected, None, "", "gw1"), false, "")
	p.Publish(with(Connected, None, "", "gw2"), false, "instead of gw1: silent 4s")
	p.Publish(with(Impaired, NoNeighbour, "bat0 hears no neighbour", "gw2"), false, "instead of gw1: silent 4s")
	p.Publish(with(Connected, None, "", "gw2"), false, "instead of gw1: silent 4s")
	want := "starting|connected (gw1)|connected (gw2): instead of gw1: silent 4s|impaired (gw2): no_neighbour: bat0 " +
		"hears no neighbour|connected (gw2)"
	if got := strings.Join(said(), "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	first, _ := p.Last()
	for i := range 2 * MaxChanges {
		p.Publish(with(Impaired, NoWAN, fmt.Sprint(i, strings.Repeat("ä", maxReason)), "gw2"), false, "")
		p.Publish(with(Connected, None, "", "gw2"), false, "")
	}
	if len(first.Changes) != 5 || first.Changes[0].State != Starting {
		t.Errorf("what was published is changed: %+v", first.Changes)
	}
	all := said()
	if len(all) != MaxChanges || !strings.Contains(all[MaxChanges-2], fmt.Sprint(2*MaxChanges-1)+"ä") ||
		len(all[MaxChanges-2]) > maxReason+40 {
		t.Errorf("%d: %q", len(all), all)
	}
	read, err := Read(p.RunDir, "mesh", Now()+5000)
	if err != nil || len(read.Changes) != MaxChanges || read.Changes[0].Age < 5 {
		t.Errorf("%v: %+v", err, read.Changes)
	}
}

// A round trip that differs is told to those who ask, and is not worth writing the file.
func TestRoundTripWritesNothing(t *testing.T) {
	p := quiet(t)
	s := Snapshot{Uplink: "mesh", State: Connected, Gateway: &Gateway{Name: "gw1", PublicKey: "k"},
		Gateways: []Candidate{{Name: "gw1", InUse: true, Result: Answered, RTT: 1000}, {Name: "gw2", Result: Untried}}}
	p.Publish(s, false, "")
	if err := os.Remove(File(p.RunDir, "mesh")); err != nil {
		t.Fatal(err)
	}
	for rtt := range int64(5) {
		s.Gateways = []Candidate{{Name: "gw1", InUse: true, Result: Answered, RTT: 2000 + rtt},
			{Name: "gw2", Result: Untried}}
		p.Publish(s, false, "")
		if last, _ := p.Last(); last.Gateways[0].RTT != 2000+rtt || len(last.Changes) != 1 {
			t.Errorf("%+v", last)
		}
	}
	if _, err := os.Stat(File(p.RunDir, "mesh")); err == nil {
		t.Error("the file was written for a round trip")
	}
	s.Gateways = []Candidate{{Name: "gw1", InUse: true, Result: Answered, RTT: 1}, {Name: "gw2", Result: Trying}}
	p.Publish(s, false, "")
	if read, err := Read(p.RunDir, "mesh", Now()); err != nil || len(read.Gateways) != 2 ||
		read.Gateways[1].Result != Trying {
		t.Errorf("%v: %+v", err, read.Gateways)
	}
}

// What people read of gateways and changes.
func TestPrintGateways(t *testing.T) {
	var b strings.Builder
	now := Uptime(time.Hour.Milliseconds())
	Print(&b, Snapshot{Uplink: "mesh", State: Connected, Since: now - 7200, Interface: "wg_mesh", Gateways: []Candidate{
		{Name: "gw1", Endpoint: "192.0.2.1:51820", Result: NoShake, TriedAt: now - 90_000},
		{Name: "gateway2", Endpoint: "192.0.2.2:51820", InUse: true, Result: Answered, RTT: 12_345,
			TriedAt: now - 60_000},
		{Name: "gw3", Endpoint: "gw3.example.org:1", Result: NoAddress, Reason: "no such name"},
	}, Changes: []Change{{At: now - 120_000, State: Starting},
		{At: now - 60_000, State: Connected, Gateway: "gateway2", Reason: "instead of gw1: mute"}}}.At(now))
	want := `mesh: connected for 7 seconds
  wireguard   wg_mesh
  gateways
    gw1       no_handshake        -  tried 1 minute, 30 seconds ago       192.0.2.1:51820
  * gateway2  answered        12 ms  tried 1 minute ago                   192.0.2.2:51820
    gw3       no_address          -  never tried                          gw3.example.org:1: no such name
  last changes
    1 minute ago                  connected (gateway2): instead of gw1: mute
    2 minutes ago                 starting
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}
