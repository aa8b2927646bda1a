package ubus

import (
	"context"
	"errors"
	"fmt"
)

// Object is something that others may call.
type Object struct {
	Name    string
	Methods []Method
}

// Method is a method of an object.
type Method struct {
	// Waits says that a call may wait for events. Such calls never take all places: others are answered beside them.
	Waits bool
	Name  string
	// Args are checked before Handle is called: one of another type is answered with StatusInvalidArgument. None has to
	// be there. Arguments that are not listed are passed on unchecked, since libubus ignores them too. Numbers that
	// come from the tool ubus are TypeInt32 if they fit in.
	Args []Arg
	// Handle answers a call. It runs in a goroutine of its own, several of them at once, and must return when ctx ends:
	// that is when the connection does. A table that is not nil is sent, beside an error too. A Status in the error is
	// the answer's, any other error is StatusUnknownError.
	Handle func(ctx context.Context, args Table) (Table, error)
}

// Arg is an argument of a method.
type Arg struct {
	Name string
	Type Type
}

// method returns the method of that name; nil when there is none.
func (o *Object) method(name string) *Method {
	for i := range o.Methods {
		if o.Methods[i].Name == name && o.Methods[i].Handle != nil {
			return &o.Methods[i]
		}
	}
	return nil
}

// accepts tells whether the arguments have the types that they should.
func (m *Method) accepts(args Table) bool {
	for _, arg := range m.Args {
		v, ok := args.Get(arg.Name)
		if kind, _ := typeOf(v); ok && kind != arg.Type && arg.Type != TypeUnspec {
			return false
		}
	}
	return true
}

// signature is what ubusd shows of the methods.
func (o *Object) signature() ([]byte, error) {
	var t Table
	for _, m := range o.Methods {
		args := Table{}
		for _, a := range m.Args {
			args = append(args, Field{a.Name, int32(a.Type)})
		}
		t = append(t, Field{m.Name, args})
	}
	return AppendTable(nil, t)
}

// add registers an object, and returns its id. One without a name and signature only hears events.
func (c *Conn) add(ctx context.Context, name string, signature []byte, handle invoked) (id uint32, err error) {
	var body Body
	if name != "" {
		body = body.Text(AttrObjPath, name).Bytes(AttrSignature, signature)
	}
	err = c.ask(ctx, Message{Type: MsgAddObject, Body: body}, func(a Attrs) {
		var ok bool
		if id, ok = a.Uint32(AttrObjID); ok { // here, because the first call may be in the next message
			c.mu.Lock()
			defer c.mu.Unlock()
			c.objects[id] = handle
		}
	})
	if err == nil && id == 0 {
		err = StatusNoData
	}
	if err != nil {
		return 0, err
	}
	return id, nil
}

// invoke passes a call on to the object.
func (c *Conn) invoke(m Message) {
	a, err := m.Attrs()
	if err != nil {
		return // it cannot be answered: it names no object
	}
	id, ok := a.Uint32(AttrObjID)
	if !ok {
		return
	}
	c.mu.Lock()
	handle := c.objects[id]
	c.mu.Unlock()
	if handle == nil {
		_ = c.reply(m, id, nil, StatusNotFound) // an error ends the connection
		return
	}
	handle(m, a)
}

// reply answers the call m of object id: with data if there is any, and with a status.
func (c *Conn) reply(m Message, id uint32, data Table, status Status) error {
	answer := Message{Seq: m.Seq, Peer: m.Peer}
	var bad error
	if data != nil {
		b, err := AppendTable(nil, data)
		if err == nil {
			answer.Type, answer.Body = MsgData, Body(nil).Uint32(AttrObjID, id).Bytes(AttrData, b)
			err = c.write(answer)
		}
		if err != nil {
			status, bad = StatusUnknownError, err
		}
	}
	answer.Type, answer.Body = MsgStatus, Body(nil).Uint32(AttrStatus, uint32(status)).Uint32(AttrObjID, id)
	return errors.Join(bad, c.write(answer))
}

// statusOf is the status that tells of err.
func statusOf(err error) Status {
	var s Status
	if err != nil && !errors.As(err, &s) {
		return StatusUnknownError
	}
	return s
}

// check finds what can never be registered.
func (o *Object) check() error {
	if o.Name == "" {
		return errors.New("ubus: an object without a name: give it one")
	}
	if _, err := o.signature(); err != nil {
		return fmt.Errorf("ubus: object %s: its methods: %w", o.Name, err)
	}
	return nil
}
