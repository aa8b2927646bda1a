package registration

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/slog"
	"wguplink/agent/status"
)

const (
	// fetchFirst and fetchMost bound the waits between vain requests for a configuration while a gateway is in use, or
	// the clock is waited for. Without a gateway the engine says when to ask.
	fetchFirst = 3 * time.Second
	fetchMost  = 10 * time.Minute
)

// Registration is the state of one uplink's registration. It is not safe for concurrent use.
type Registration struct {
	build func(Source) (Registrar, error) // nil in a build without brokers
	intn  func(int64) int64
	log   *slog.Logger

	source    Source
	registrar Registrar // nil until it is needed
	query     Query     // under way; the zero value when none is
	count     int
	err       error // of the last answer
	told      texts // failures that the log has, since the last success
	says      string
	known     string // what a server said of an entry that it has already; see broker.Answer
	again     schedule
}

// schedule is when to ask again although the engine does not want to.
type schedule struct {
	at    time.Time
	fails int // in a row
}

// Query is one request that shall be under way. Two are the same when their Numbers are.
type Query struct {
	Number    int
	registrar Registrar
	source    Source
	err       error // it cannot be made at all
}

// Run asks.
func (q Query) Run(ctx context.Context) (a Answer) {
	if q.err != nil {
		return Answer{Err: q.err}
	}
	a.Answer, a.Err = q.registrar.Register(ctx, q.source.Key)
	return a
}

// New makes a Registration; Configure must follow. build makes registrars, and is nil in a build without brokers. intn
// gives a uniform number below its argument.
func New(build func(Source) (Registrar, error), intn func(int64) int64, log *slog.Logger) *Registration {
	return &Registration{build: build, intn: intn, log: log}
}

// Configure makes a source the valid one; changed says that it is another, so that what earlier servers have said
// counts no more. A question under way is asked anew.
func (r *Registration) Configure(s Source) (changed bool) {
	if reflect.DeepEqual(r.source, s) {
		return false
	}
	r.source, r.registrar = s, nil
	r.err, r.says, r.known = nil, "", ""
	r.again = schedule{}
	if r.Asking() {
		r.query = Query{}
		r.Ask()
	}
	return true
}

// Refetch has a configuration that lies with a server asked for at once.
func (r *Registration) Refetch() { r.again = schedule{} }

// Asking says that a question is under way.
func (r *Registration) Asking() bool { return r.query.Number != 0 }

// Ask has the servers asked. When that is under way already, its answer is for both.
func (r *Registration) Ask() {
	if r.Asking() {
		return
	}
	err := r.prepare()
	r.count++
	r.query = Query{Number: r.count, registrar: r.registrar, source: r.source, err: err}
}

// prepare makes the registrar when it is needed.
func (r *Registration) prepare() error {
	if r.registrar != nil {
		return nil
	}
	if r.build == nil {
		return errors.New("this build has no broker support")
	}
	made, err := r.build(r.source)
	if err != nil {
		return err
	}
	r.registrar = made
	return nil
}

// Query is what shall be under way now; ok is false when nothing shall.
func (r *Registration) Query() (q Query, ok bool) { return r.query, r.Asking() }

// Answer is what came of a Query.
type Answer struct {
	broker.Answer
	Err error
}

// Checked is an answer with a signed configuration that was compared with the WAN, with what is strange about it. unfit
// is not nil when the configuration cannot be used: the answer counts as one that cannot be read, then.
func (a Answer) Checked(warnings []string, unfit error) Answer {
	if unfit != nil {
		a.Err = &broker.Error{Kind: broker.Malformed, Broker: a.Broker, Err: unfit}
		return a
	}
	n := *a.Network
	n.Warnings = slices.Concat(n.Warnings, warnings)
	a.Network = &n
	return a
}

// RetryAfter is how long the servers want to be left alone after an error.
func (a Answer) RetryAfter() time.Duration {
	if e := (*broker.Error)(nil); errors.As(a.Err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Take takes the answer of the query under way. others is how many gateways there are beside those of the answer.
func (r *Registration) Take(a Answer, others int, now time.Time) {
	r.query = Query{}
	before := r.err
	r.err = a.Err
	if a.Err != nil {
		r.again.later(now, a.RetryAfter(), r.intn)
		r.says = a.Err.Error()
		if before == nil {
			r.told = nil
		}
		if r.told.add(gist(a.Err.Error())) {
			r.log.Warn("registration failed; trying again, ever more seldom", "err", a.Err)
		}
		return
	}
	r.says, r.known = a.Broker+" ("+a.API+")", a.Known
	if a.Fallback != nil {
		r.log.Warn("not the first choice of broker", "err", a.Fallback)
	}
	gateways := len(a.Peers)
	if n := a.Network; n != nil {
		gateways = len(n.Concentrators)
		r.again = schedule{at: now.Add(n.Retry + time.Duration(r.intn(int64(n.Retry/10)+1)))}
	} else {
		attrs := []any{"broker", a.Broker, "api", a.API, "gateways", gateways}
		if a.Known != "" {
			attrs = append(attrs, "says", a.Known)
		}
		r.log.Info("registered", attrs...)
	}
	if gateways+others == 0 {
		r.err = empty(a.Answer)
	}
}

// later sets the next try after a failed request.
func (s *schedule) later(now time.Time, after time.Duration, intn func(int64) int64) {
	wait := min(fetchFirst<<min(s.fails, 10), fetchMost)
	s.fails++
	s.at = now.Add(after + wait/2 + time.Duration(intn(int64(wait))))
}

// Due is when a configuration that lies with a server is to be asked for, though the engine does not want to; ok is
// false while one is asked for.
func (r *Registration) Due() (at time.Time, ok bool) { return r.again.at, !r.Asking() }

// empty says that a broker took the key, and that there is no gateway to connect to all the same.
func empty(a broker.Answer) error {
	if a.Network != nil {
		return fmt.Errorf("the configuration from %s names no concentrator", a.Broker)
	}
	const text = "broker %s took the key, but names no gateway (%s), and there is no section `config gateway`"
	if a.Fallback == nil {
		return fmt.Errorf(text, a.Broker, a.API)
	}
	return fmt.Errorf(text+": %w", a.Broker, a.API, a.Fallback)
}

// Restore goes on with an answer of an earlier run, whose signature is checked once more. The configuration is asked
// for anew all the same: it may be old.
func (r *Registration) Restore(saved []byte) (*broker.Network, bool) {
	if r.prepare() != nil {
		return nil, false // said when it is asked
	}
	restorer, ok := r.registrar.(Restorer)
	if !ok {
		return nil, false
	}
	a, err := restorer.Restore(saved, r.source.Key)
	if err != nil {
		r.log.Warn("the configuration kept from before is not used", "err", err)
		return nil, false
	}
	return a.Network, true
}

// Says is one line for the status: the last answer, or what went wrong.
func (r *Registration) Says() string { return r.says }

// Known is what the last good answer says of an entry that the server has already; "" when it says nothing.
func (r *Registration) Known() string { return r.known }

// Trouble is what keeps the uplink from being registered; nil when nothing does.
func (r *Registration) Trouble() (status.Cause, error) {
	if r.err == nil {
		return status.None, nil
	}
	if e := (*broker.Error)(nil); errors.As(r.err, &e) {
		switch e.Kind {
		case broker.NotRegistered:
			return status.NotRegistered, r.err
		case broker.Refused:
			return status.BrokerRefused, r.err
		}
	}
	return status.BrokerUnreachable, r.err
}
