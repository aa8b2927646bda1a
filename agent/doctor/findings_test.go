package doctor

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/wan"
)

// A cause that the agent knows fails its stage and is repeated, although the doctor's own look finds nothing. No stage
// before it fails.
func TestAgentsWord(t *testing.T) {
	for cause, want := range map[status.Cause]Stage{
		status.BadKey: Key, status.NoWAN: WAN, status.Clock: Clock, status.Device: Device,
		status.BrokerUnreachable: Broker,
		status.BrokerRefused:     Broker, status.NotRegistered: Broker, status.NoHandshake: Handshake,
		status.NoAnswer: Tunnel, status.NoNeighbour: Tunnel,
	} {
		t.Run(string(cause), func(t *testing.T) {
			b := newBed(t)
			b.withAgent()
			b.snap.Cause, b.snap.Reason = cause, "that is why"
			all := b.examine(context.Background(), nil)
			b.close()
			f := all[slices.Index(Stages, want)]
			if Code(all) != want.Code() || f.Outcome != Failed ||
				!strings.Contains(f.Cause, "the agent says: that is why") || f.Remedy == "" {
				t.Errorf("exit code %d, %+v", Code(all), f)
			}
		})
	}
	// The agent has got through in the meantime.
	b := newBed(t)
	b.withAgent()
	b.snap.Cause, b.snap.Reason = status.NoWAN, "no route"
	b.wanState = func() (wan.State, error) { b.snap.Cause = status.None; return b.state, nil }
	if all := b.examine(context.Background(), nil); Code(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// No finding but that of the configuration comes without the way to the operators: with a key that works, its public
// half is named when no gateway answers.
func TestPublicKeyIsNamed(t *testing.T) {
	for name, change := range map[string]func(*bed){
		"all else well":  func(*bed) {},
		"no time":        func(b *bed) { b.time = clock.Result{Source: clock.Unverified} },
		"the wrong time": func(b *bed) { b.time = clock.Result{Source: clock.FromNTP, Offset: time.Hour} },
		"no broker":      func(b *bed) { b.cfg.Protocol = config.Static },
		"the broker is mad": func(b *bed) {
			b.broker.err = &broker.Error{Kind: broker.Malformed,
				Err: errors.New("x")}
		},
	} {
		b := newBed(t)
		b.kernel.shakes = nil
		change(b)
		all := b.examine(context.Background(), nil)
		b.close()
		if f := all[7]; f.Outcome != Failed || !strings.Contains(f.Remedy, b.key.PublicKey().String()) {
			t.Errorf("%s: %+v", name, f)
		}
		if f := all[3]; f.Outcome != OK || !strings.Contains(f.Detail, b.key.PublicKey().String()) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestCodes(t *testing.T) {
	want := map[Stage]int{Config: 10, WAN: 11, Clock: 12, Key: 13, Names: 14, Broker: 15, Device: 16,
		Handshake: 17, Tunnel: 18, MTU: 19}
	got := map[Stage]int{}
	for _, s := range Stages {
		got[s] = s.Code()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// On the doctor's own device gateways may send from their link addresses only, and no default route is touched.
func TestOwnDevice(t *testing.T) {
	b := newBed(t)
	b.examine(context.Background(), nil)
	b.close()
	last := b.kernel.applied[len(b.kernel.applied)-1]
	dev := last.Devices[0]
	if dev.Interface == b.cfg.Interface || last.Name == b.cfg.Name || dev.FwMark != 1 ||
		dev.ListenPort != 0 || len(dev.Peers) != 2 {
		t.Errorf("%+v", last)
	}
	if v := last.VXLAN; v == nil || v.Name == b.cfg.VXLAN.Name || v.ID == b.cfg.VXLAN.ID ||
		v.Port != b.cfg.VXLAN.Port || v.Master != "" {
		t.Errorf("VXLAN %+v", v)
	}
	for _, p := range dev.Peers {
		if len(p.AllowedIPs) != 1 || p.AllowedIPs[0].Bits() != 128 {
			t.Errorf("peer %+v", p)
		}
	}
}

// Two gateways with the same link address: one of them gets it.
func TestSharedLinkAddress(t *testing.T) {
	b := newBed(t)
	b.broker.answer.Peers[0].LinkAddress = gateway(1).LinkAddress
	if all := b.examine(context.Background(), nil); Code(all) != 0 {
		t.Errorf("%+v", all)
	}
	n := 0
	for _, p := range b.kernel.applied[len(b.kernel.applied)-1].Devices[0].Peers {
		n += len(p.AllowedIPs)
	}
	if n != 1 {
		t.Errorf("%d peers with the address", n)
	}
}

// An agent that comes up while the doctor is at work has the device to itself, and the broker is not asked for a
// changed key.
func TestAgentStarts(t *testing.T) {
	b := newBed(t)
	calls := 0
	b.running = func() bool { calls++; return calls > 1 }
	all := b.examine(context.Background(), nil)
	if f := all[7]; f.Outcome != Skipped || !strings.Contains(f.Cause, "agent has started") ||
		len(b.kernel.applied) != 1 {
		t.Errorf("%+v; applied %d times", f, len(b.kernel.applied))
	}
}

func TestChangedKeyIsNotRegistered(t *testing.T) {
	b := newBed(t)
	b.withAgent()
	b.snap.PublicKey = "other"
	b.examine(context.Background(), nil)
	if b.asked != 0 {
		t.Errorf("registered %d times", b.asked)
	}
}

func TestNoKeyIsMade(t *testing.T) {
	b := newBed(t)
	b.key = wgtypes.Key{}
	b.o.LoadKey = func(config.Uplink) (identity.Identity, error) {
		t.Error("loaded a key, which makes one")
		return identity.Identity{}, nil
	}
	b.examine(context.Background(), nil)
}

// However far it came, our device goes, and the code says that not all is known.
func TestInterrupted(t *testing.T) {
	for name, arrange := range map[string]func(b *bed, cancel func()){
		"before it began": func(_ *bed, cancel func()) { cancel() },
		"in the clock stage": func(b *bed, cancel func()) {
			b.checkClock = func(ctx context.Context) (clock.Result, error) {
				cancel()
				return clock.Result{Source: clock.Unverified}, ctx.Err()
			}
		},
		"in the handshake stage": func(b *bed, cancel func()) {
			b.kernel.shakes, b.pace.rounds[0] = nil, time.Hour
			b.kernel.looked = func(n int) {
				if n == 3 {
					cancel()
				}
			}
		},
		"in the last stage": func(b *bed, cancel func()) {
			b.largest = func(ctx context.Context, _ string, _ netip.Addr, _, _ int, _ time.Duration) (int, error) {
				cancel()
				return 1300, ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			arrange(b, cancel)
			all := b.examine(ctx, nil)
			b.close()
			if code := Code(all); code != ExitInterrupted || len(all) != len(Stages) || all[9].Cause != interrupted {
				t.Errorf("exit code %d, %+v", code, all)
			}
			if n := len(b.kernel.removed); b.kern != nil && n != 2 {
				t.Errorf("removed our device %d times", n)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	var w bytes.Buffer
	Print(&w, Finding{WAN, OK, "IPv4 by eth0", "", ""})
	Print(&w, Finding{Clock, Failed, "ntp: no answer", "off by 2h", "look"})
	Print(&w, Finding{Clock, Warned, "ntp: no answer", "no server vouches", "look"})
	Print(&w, Finding{Handshake, Skipped, "", "needs wan", ""})
	want := `wan        pass  IPv4 by eth0
clock      FAIL  off by 2h (ntp: no answer)
                 -> look
clock      warn  no server vouches (ntp: no answer)
                 -> look
handshake  skip  needs wan
`
	if diff := cmp.Diff(want, w.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every finding is told when it is known, by Run too, which here has no configuration.
func TestRun(t *testing.T) {
	var w bytes.Buffer
	code := Run(context.Background(), Options{ConfigErr: errors.New("there is no /etc/config/wguplink")}, &w)
	if code != 10 || !strings.HasPrefix(w.String(), "config     FAIL  there is no /etc/config/wguplink\n") ||
		strings.Count(w.String(), "skip") != 9 {
		t.Errorf("exit code %d:\n%s", code, w.String())
	}
}
