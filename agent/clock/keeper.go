package clock

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"time"

	"wguplink/agent/slog"
)

// Settings are what the gate of an uplink is built from. The keeper compares them on a reload.
type Settings struct {
	Servers []string         // as Options.Servers
	Grace   time.Duration    // as Options.Grace
	Mark    uint32           // of the sockets
	DNS     []netip.AddrPort // name servers; empty for those of the system
}

// Way is the way to the servers, through the WAN.
type Way interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}

// Keeper keeps the clock right for one uplink: it asks for the time before the first handshake, goes on asking while no
// source vouches for the clock, and asks anew when another program has set it. It asks by jobs that the caller runs,
// and so does nothing by itself. It is not safe for concurrent use.
type Keeper struct {
	system   *Watched
	log      *slog.Logger
	fixed    Options // Build and FloorFile
	settings Settings
	way      Way

	gate    *Gate         // one for all questions: it remembers what doubtful sources said
	job     Job           // what shall be under way; the zero Job when nothing shall
	jobs    int           // the number of the last one
	passed  bool          // the time was asked for, and the uplink may go on
	good    bool          // a source vouches for the clock
	doubt   bool          // another program has set the clock since
	refused bool          // the log has that the signed time is not used
	says    string        // for the status
	foreign time.Duration // what other programs have set the clock by, when last looked at
}

// Job is one question for the time. Two jobs are the same when they are equal.
type Job struct {
	number int
	gate   *Gate
	retry  bool // by Retry; else by Ensure
}

// Answer is what came of a Job. One that is not final tells of a round in vain; the job goes on.
type Answer struct {
	Result Result
	Err    error
	Final  bool
}

// NewKeeper makes a Keeper. Of the options only Build and FloorFile count. Configure must follow.
func NewKeeper(system *Watched, o Options, log *slog.Logger) *Keeper {
	return &Keeper{system: system, fixed: o, log: log, foreign: system.Foreign()}
}

// Configure makes settings the valid ones. A question under way is asked anew when they are others.
func (k *Keeper) Configure(s Settings, way Way) {
	same := reflect.DeepEqual(k.settings, s)
	k.settings, k.way, k.refused = s, way, k.refused && same
	if !same && k.job.gate != nil {
		k.start(k.gate.options().System, k.job.retry)
	}
}

// Job is the question that shall be under way now; ok is false when none shall.
func (k *Keeper) Job() (j Job, ok bool) { return k.job, k.job.gate != nil }

// Run asks until there is an answer, or ctx ends. tell gets the answer of each round in vain of a retry.
func (j Job) Run(ctx context.Context, tell func(Answer)) Answer {
	var a Answer
	if j.retry {
		a.Result, a.Err = j.gate.Retry(ctx, func(r Result) { tell(Answer{Result: r}) })
	} else {
		a.Result, a.Err = j.gate.Ensure(ctx)
	}
	a.Final = true
	return a
}

// Passed says that the uplink may go on: the time was asked for.
func (k *Keeper) Passed() bool { return k.passed }

// Says is one line for the status; "" before the first answer.
func (k *Keeper) Says() string { return k.says }

// jump is by how much the wall clock must leave the monotonic one to count as set by another program.
const jump = 2 * time.Second

// Jumped says that another program has set the clock, and Update has not heard of it.
func (k *Keeper) Jumped() bool { return (k.system.Foreign() - k.foreign).Abs() >= jump }

// Update begins and ends questions as is due. open says that there is a way to the servers, and a use for the time.
//
// WireGuard puts the wall clock into its handshakes, and a gateway ignores what is older than the last one: a step back
// would cost the tunnel when its keys are renewed. So a step that was not ours is a reason to ask anew.
func (k *Keeper) Update(open bool) {
	now := k.system.Foreign()
	by := now - k.foreign
	k.foreign = now
	if by.Abs() >= jump && k.passed {
		k.log.Warn("another program has set the clock; asking for the time", "by", by.Round(time.Millisecond))
		k.doubt, k.good = true, false
	}
	switch {
	case !open && !k.passed:
		k.job = Job{} // the grace period begins anew with the next way out
	case open && k.doubt:
		k.doubt = false
		k.start(doubted{k.system}, false) // what the kernel says of its clock dates from before the step
	case open && !k.passed && k.job.gate == nil:
		k.start(k.system, false)
	}
}

// doubted is a clock whose word about itself counts for nothing.
type doubted struct{ System }

func (doubted) Synchronised() (bool, error) { return false, nil }

func (k *Keeper) start(system System, retry bool) {
	k.renew(system)
	k.jobs++
	k.job = Job{number: k.jobs, gate: k.gate, retry: retry}
}

// renew gives the gate the settings in force.
func (k *Keeper) renew(system System) {
	o := k.fixed
	o.System, o.Servers, o.Grace = system, k.settings.Servers, k.settings.Grace
	o.Dial, o.Resolve = k.way.DialContext, k.way.Resolve
	if k.gate == nil {
		k.gate = New(o)
	} else {
		k.gate.Replace(o)
	}
}

// Take takes the answer of the job that Job gives.
func (k *Keeper) Take(a Answer) {
	if !a.Final {
		if !k.good { // what is wrong with the servers may change
			k.says = describe(a.Result, nil)
		}
		return
	}
	k.job = Job{}
	unverified := a.Result.Source == Unverified
	if unverified {
		// A signed configuration may have told the time meanwhile; servers, which are more exact, are still asked.
		k.jobs++
		k.job = Job{number: k.jobs, gate: k.gate, retry: true}
		if k.good {
			return
		}
	}
	k.passed = true
	k.good = a.Err == nil && !unverified
	k.says = describe(a.Result, a.Err)
	switch {
	case a.Err != nil:
		k.log.Error("the clock cannot be set", "err", a.Err)
	case unverified:
		k.log.Warn("clock not verified, going on", "reason", k.says)
	default:
		k.checked(a.Result)
	}
	k.tell(a.Result.Refused, !unverified)
	k.kept(a.Result)
}

// tell tells of the sources that were not believed. Where others were, one that there is no way to is not worth a
// warning: a server has addresses of both families, and many a node has a way by one alone.
func (k *Keeper) tell(all []Refusal, verified bool) {
	for _, r := range all {
		level := slog.LevelWarn
		if r.Away && verified {
			level = slog.LevelDebug
		}
		k.log.Log(context.Background(), level, "time source refused", "reason", r.String())
	}
}

// Signed takes the time of a signed configuration of that server, which counts while there is no better one. The zero
// Time is none.
func (k *Keeper) Signed(t time.Time, server string) {
	if t.IsZero() || k.good {
		return
	}
	if k.gate == nil {
		k.renew(k.system)
	}
	res, err := k.gate.Offer(t, server)
	if err != nil || res.Source == Unverified {
		if !k.refused { // configurations come every few minutes
			k.log.Warn("the time of the signed configuration is not used", "reason", describe(res, err))
		}
		k.refused = true
		return
	}
	k.passed, k.good, k.refused = true, true, false
	k.says = describe(res, nil)
	k.checked(res)
	k.kept(res)
}

func (k *Keeper) checked(r Result) {
	k.log.Info("clock checked", "source", r.Source, "server", r.Server, "offset", r.Offset.Round(time.Millisecond),
		"stepped", r.Stepped)
}

func (k *Keeper) kept(r Result) {
	if r.FloorErr != nil {
		k.log.Warn("the time cannot be kept for the next start", "err", r.FloorErr)
	}
}

func describe(res Result, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case res.Source == FromNTP && res.Stepped:
		return fmt.Sprintf("set by %v, from %s", res.Offset.Round(time.Millisecond), res.Server)
	case res.Source == FromNTP:
		return fmt.Sprintf("right within %v, says %s", res.Offset.Abs().Round(time.Millisecond), res.Server)
	case res.Source == FromKernel:
		return "synchronised, says the kernel"
	case res.Source == FromSigned && res.Stepped:
		return fmt.Sprintf("set by %v, from the signed configuration of %s", res.Offset.Round(time.Second), res.Server)
	case res.Source == FromSigned:
		return "right within a minute, says the signed configuration of " + res.Server
	}
	why := "no NTP server configured"
	if len(res.Refused) > 0 {
		why = res.Refused[0].String()
	}
	return "not verified: " + why
}
