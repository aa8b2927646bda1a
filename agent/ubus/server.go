package ubus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"
)

const (
	// maxCalls is how many calls are handled at once.
	maxCalls = 16
	// maxEvents is how many events wait for ubusd to take them.
	maxEvents = 16
	// answerTimeout is how long ubusd, which never waits for others, may take to answer.
	answerTimeout = 5 * time.Second
	// retryMin and retryMax bound the time to the next attempt where no event tells when it is worth one: ubusd's
	// socket exists a moment before it can be connected to, and no event says when an object's name becomes free.
	retryMin = 50 * time.Millisecond
	retryMax = time.Minute
	// retryQuiet is how long the time to the next attempt may grow before a failure that goes by itself is reported.
	retryQuiet = time.Second
)

// Server keeps objects registered with ubusd: it waits for ubusd to come, registers, answers calls, and starts over
// when ubusd goes away.
type Server struct {
	// OnError, if set before Run, is told of what does not work; the Server goes on regardless. It is called from
	// several goroutines and must not block. The same error is not repeated until the objects are registered. That
	// ubusd is not there is no error.
	OnError func(error)
	// OnRegistered, if set before Run, is called each time all objects have come to be registered. It must not block.
	OnRegistered func()

	paths   []string
	objects []Object
	after   func(time.Duration) <-chan time.Time
	busy    chan struct{}             // holds an item for each call being handled
	waiting map[*Method]chan struct{} // of them, for each call of that method, which waits
	calls   sync.WaitGroup

	mu     sync.Mutex
	events chan Message    // nil while not connected
	told   map[string]bool // errors that OnError knows
}

// NewServer returns a server of objects for the ubusd at path; "" stands for DefaultPaths. It does nothing until Run.
func NewServer(path string, objects ...Object) *Server {
	paths := DefaultPaths()
	if path != "" {
		paths = []string{path}
	}
	return &Server{paths: paths, objects: objects, after: time.After, busy: make(chan struct{}, maxCalls),
		waiting: places(objects)}
}

// places shares half of all calls among the methods that wait. Each has its own, so that none of them keeps out
// another.
func places(objects []Object) map[*Method]chan struct{} {
	all := map[*Method]chan struct{}{}
	for _, o := range objects {
		for i := range o.Methods {
			if o.Methods[i].Waits {
				all[&o.Methods[i]] = nil
			}
		}
	}
	for m := range all {
		all[m] = make(chan struct{}, max(1, maxCalls/2/len(all)))
	}
	return all
}

// Run serves until ctx ends, and returns nil then, after the last call has been handled. An error means that it cannot
// work: an object that cannot be described, or a system without (free) inotify.
func (s *Server) Run(ctx context.Context) error {
	for i := range s.objects {
		if err := s.objects[i].check(); err != nil {
			return err
		}
	}
	defer s.calls.Wait()
	delay := retryMin
	for ctx.Err() == nil {
		w, err := newWatch(s.paths)
		if err != nil {
			return fmt.Errorf("ubus: watch for ubusd: %w", err)
		}
		served, timer := s.serve(ctx, w, delay > retryQuiet)
		if served {
			delay = retryMin
		}
		var again <-chan time.Time
		if timer {
			again = s.after(delay)
			delay = min(2*delay, retryMax)
		}
		select {
		case <-ctx.Done():
		case <-again:
		case err = <-w.changed:
		}
		w.close()
		if err != nil {
			return fmt.Errorf("ubus: watch for ubusd: %w", err)
		}
	}
	return nil
}

// serve serves one connection to its end. It returns whether objects were registered, and whether to try again without
// having heard of a change. tried says that it was tried before.
func (s *Server) serve(ctx context.Context, w *watch, tried bool) (served, again bool) {
	c, err := s.dial(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return false, false
	case err != nil:
		// Refused is one that has just started, or what a dead one left over. An ubusd that ends hangs up, too.
		quiet := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errHungUp) && !tried
		if !quiet && ctx.Err() == nil {
			s.report(err)
		}
		return false, true
	}
	defer c.Close()
	w.close() // the end of the connection tells enough
	return s.session(ctx, c), true
}

func (s *Server) dial(ctx context.Context) (c *Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for _, p := range s.paths {
		var e error
		if c, e = dial(ctx, p); e == nil {
			return c, nil
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = e
		}
	}
	return nil, err
}

// session registers the objects and sends events until the connection ends. It returns whether all were registered.
func (s *Server) session(ctx context.Context, c *Conn) (served bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan Message, maxEvents)
	s.setEvents(events)
	defer s.setEvents(nil)

	missing, delay := s.objects, retryMin
	var retry <-chan time.Time
	for {
		if retry == nil && !served {
			var err error
			if missing, err = s.register(ctx, c, missing); err != nil {
				s.lost(ctx, c, err)
				return false
			}
			if served = len(missing) == 0; !served {
				retry = s.after(delay)
				delay = min(2*delay, retryMax)
			} else if s.OnRegistered != nil {
				s.OnRegistered()
			}
		}
		select {
		case <-ctx.Done():
			return served
		case <-c.Done():
			return served
		case <-retry:
			retry = nil
		case m := <-events:
			if err := s.send(ctx, c, m); err != nil {
				s.lost(ctx, c, err)
				return served
			}
		}
	}
}

// register registers objects, and returns those that ubusd refuses. An error is one of the connection.
func (s *Server) register(ctx context.Context, c *Conn, objects []Object) (refused []Object, err error) {
	for i := range objects {
		o := &objects[i]
		signature, err := o.signature()
		if err != nil {
			return nil, err
		}
		actx, cancel := context.WithTimeout(ctx, answerTimeout)
		_, err = c.add(actx, o.Name, signature, func(m Message, a Attrs) { s.call(ctx, c, o, m, a) })
		cancel()
		var status Status
		switch {
		case errors.As(err, &status):
			s.report(fmt.Errorf(
				"ubus: ubusd does not take object %s: %w (its name is in use, or we may not publish it)", o.Name, err))
			refused = append(refused, *o)
		case err != nil:
			return nil, fmt.Errorf("ubus: register object %s: %w", o.Name, err)
		}
	}
	if refused == nil {
		s.report(nil)
	}
	return refused, nil
}

// call handles a call of one of our objects. It does not block.
func (s *Server) call(ctx context.Context, c *Conn, o *Object, m Message, a Attrs) {
	id, _ := a.Uint32(AttrObjID)
	silent := a.Flag(AttrNoReply)
	answer := func(data Table, status Status) {
		if silent {
			return
		}
		if err := c.reply(m, id, data, status); err != nil && c.Err() == nil {
			s.report(fmt.Errorf("ubus: answer for object %s: %w", o.Name, err))
		}
	}
	name, ok := a.Text(AttrMethod)
	if !ok {
		answer(nil, StatusInvalidArgument)
		return
	}
	method := o.method(name)
	if method == nil {
		answer(nil, StatusMethodNotFound)
		return
	}
	args, err := a.Table(AttrData)
	if err != nil || !method.accepts(args) {
		answer(nil, StatusInvalidArgument)
		return
	}
	if !s.enter(method) {
		answer(nil, StatusTimeout) // ubus has no "busy"; this one says best that it may be tried again
		return
	}
	s.calls.Add(1)
	go func() {
		defer s.calls.Done()
		data, err := method.Handle(ctx, args)
		s.leave(method) // before the caller can call again
		answer(data, statusOf(err))
	}()
}

// enter takes a place for a call, or says that there is none.
func (s *Server) enter(m *Method) bool {
	if m.Waits {
		select {
		case s.waiting[m] <- struct{}{}:
		default:
			return false
		}
	}
	select {
	case s.busy <- struct{}{}:
		return true
	default:
	}
	if m.Waits {
		<-s.waiting[m]
	}
	return false
}

// leave gives a call's place back.
func (s *Server) leave(m *Method) {
	<-s.busy
	if m.Waits {
		<-s.waiting[m]
	}
}

// Send sends an event to its listeners. It never blocks: the event is dropped while there is no connection,
// and while 16 others wait for ubusd. It may be called at any time, from any goroutine.
func (s *Server) Send(event string, data Table) {
	body, err := eventBody(event, data) // now, as the caller may change data later
	if err == nil {
		err = body.check()
	}
	if err != nil {
		s.report(fmt.Errorf("ubus: send event %s: %w", event, err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.events <- Message{Type: MsgInvoke, Peer: EventObject, Body: body}:
	default:
	}
}

func (s *Server) send(ctx context.Context, c *Conn, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := c.ask(ctx, m, nil)
	var status Status
	if errors.As(err, &status) {
		s.report(fmt.Errorf("ubus: ubusd does not take our event: %w", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("ubus: send event: %w", err)
	}
	return nil
}

func (s *Server) setEvents(events chan Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = events
}

// lost reports a failure of ubusd, unless it or we just ended.
func (s *Server) lost(ctx context.Context, c *Conn, err error) {
	if ctx.Err() == nil && c.Err() == nil {
		s.report(err)
	}
}

// report tells OnError what it does not know yet; nil means that all is well again.
func (s *Server) report(err error) {
	s.mu.Lock()
	if err == nil || len(s.told) >= 100 {
		s.told = nil
	}
	known := err == nil || s.told[err.Error()]
	if !known {
		if s.told == nil {
			s.told = map[string]bool{}
		}
		s.told[err.Error()] = true
	}
	s.mu.Unlock()
	if !known && s.OnError != nil {
		s.OnError(err)
	}
}
