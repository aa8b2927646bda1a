// Package doctor runs the stages of an uplink one by one in the foreground, and says of each whether it works, and if
// not, the cause and what to do about it.
//
// Beside a running agent it changes nothing on the node: it looks at the agent's WireGuard device and status, sends
// echo requests through its tunnel, and registers the key in use once more. Without one it makes a device of its own,
// which goes again in the end.
package doctor

import (
	"context"
	"io"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Stage is one step on the way to a tunnel.
type Stage string

// The stages, in their order.
const (
	Config    Stage = "config"
	WAN       Stage = "wan"
	Clock     Stage = "clock"
	Key       Stage = "key"
	Names     Stage = "names"
	Broker    Stage = "broker"
	Device    Stage = "device"
	Handshake Stage = "handshake"
	Tunnel    Stage = "tunnel"
	MTU       Stage = "mtu"
)

// Stages lists them all.
var Stages = []Stage{Config, WAN, Clock, Key, Names, Broker, Device, Handshake, Tunnel, MTU}

// Exit codes of Run.
const (
	ExitOK          = 0
	ExitInterrupted = 1  // the context ended before all was known, and nothing had failed until then
	exitFirst       = 10 // the first stage failed; each later one has the next number
)

// Code is the exit code for a stage that fails: 10 for the first, up to 19 for the last.
func (s Stage) Code() int {
	for i, is := range Stages {
		if s == is {
			return exitFirst + i
		}
	}
	return ExitInterrupted
}

// Outcome is what became of a stage.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "pass"
	Warned  Outcome = "warn" // something that may be trouble; the cause says what, and the stages after it go on
	Failed  Outcome = "FAIL"
	Skipped Outcome = "skip" // not looked at; the cause says why
)

// Finding is what is known of one stage. Each text is a phrase without a full stop.
type Finding struct {
	Stage   Stage   `json:"stage"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"` // what was seen
	Cause   string  `json:"cause,omitempty"`  // why it failed, or was skipped, or what may be trouble
	Remedy  string  `json:"remedy,omitempty"` // what to do about it
}

// Registrar makes our key known to a broker.
type Registrar interface {
	Register(ctx context.Context, key peerselector.Key) (broker.Answer, error)
}

// Options are what Run needs from outside.
type Options struct {
	// ConfigErr is why there is no usable configuration; then nothing else is looked at. Uplink is the one to examine.
	ConfigErr error
	Uplink    config.Uplink
	RunDir    string // where the agent keeps its lock and status
	FloorFile string // the last time known to be right
	Build     time.Time
	System    clock.System   // is only read
	Spawn     tunnel.Spawner // nil: no userspace WireGuard in this build
	// PublicKey gives the public half of the stored key; os.ErrNotExist when there is none yet. LoadKey gives the whole
	// key, and is called only when PublicKey gave one, so that no key is made.
	PublicKey func(config.Uplink) (wgtypes.Key, error)
	LoadKey   func(config.Uplink) (identity.Identity, error)
	// NewRegistrar is nil in a build without brokers.
	NewRegistrar func(u config.Uplink, p wan.Path, ownLink netip.Addr) (Registrar, error)
	// AgentsWord gives what the running agent says of an uplink when it is asked; not ok where it cannot be. Then, and
	// where it is nil, lock and status in RunDir count, which are not there, or old, when the file system is full.
	AgentsWord func(uplink string) (s status.Snapshot, ok bool)
}

func (o Options) word() (s status.Snapshot, ok bool) {
	if o.AgentsWord == nil {
		return s, false
	}
	return o.AgentsWord(o.Uplink.Name)
}

// stageTimeout bounds each stage.
const stageTimeout = 15 * time.Second

// Run examines the uplink, prints each finding as soon as it is known, and returns the exit code: that of the first
// stage that failed, or 0. It takes at most 15 s for each stage, and ends early with ctx.
func Run(ctx context.Context, o Options, w io.Writer) (code int) {
	findings := Examine(ctx, o, func(f Finding) { Print(w, f) })
	return Code(findings)
}

// Examine does what Run does, and gives the findings, one for each stage. found may be nil; it is called for each as
// soon as it is known.
func Examine(ctx context.Context, o Options, found func(Finding)) []Finding {
	x := newExam(o)
	defer x.close()
	return x.examine(ctx, found)
}

// Code gives the exit code for a list of findings.
func Code(findings []Finding) int {
	code := ExitOK
	for _, f := range findings {
		switch {
		case f.Outcome == Failed:
			return f.Stage.Code()
		case f.Outcome == Skipped && f.Cause == interrupted:
			code = ExitInterrupted
		}
	}
	return code
}

const interrupted = "interrupted"

func (x *exam) examine(ctx context.Context, found func(Finding)) []Finding {
	stages := map[Stage]func(context.Context) Finding{
		Config: x.config, WAN: x.wan, Clock: x.clock, Key: x.key, Names: x.names, Broker: x.broker,
		Device: x.device, Handshake: x.handshake, Tunnel: x.tunnel, MTU: x.mtu,
	}
	var all []Finding
	for _, s := range Stages {
		x.blocked = false
		f := x.one(ctx, s, stages[s])
		f.Stage = s
		x.outcome[s] = f.Outcome
		all = append(all, f)
		if found != nil {
			found(f)
		}
	}
	return all
}

// one runs a stage.
func (x *exam) one(ctx context.Context, s Stage, stage func(context.Context) Finding) Finding {
	if ctx.Err() != nil {
		return skip(interrupted)
	}
	bound, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	f := x.word(s, stage(bound))
	if ctx.Err() != nil && f.Outcome == Failed {
		return skip(interrupted) // that is why it failed, or may be
	}
	return f
}

// needs gives the first of the stages that is not through, as the reason to skip one.
func (x *exam) needs(stages ...Stage) (Finding, bool) {
	for _, s := range stages {
		if x.outcome[s] != OK && x.outcome[s] != Warned {
			x.blocked = true
			return skip("needs " + string(s)), true
		}
	}
	return Finding{}, false
}

func pass(detail string) Finding { return Finding{Outcome: OK, Detail: detail} }
func fail(cause, remedy string) Finding {
	return Finding{Outcome: Failed, Cause: cause, Remedy: remedy}
}
func warn(cause, remedy, detail string) Finding {
	return Finding{Outcome: Warned, Cause: cause, Remedy: remedy, Detail: detail}
}
func skip(cause string) Finding { return Finding{Outcome: Skipped, Cause: cause} }
