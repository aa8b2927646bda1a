package ubus

import (
	"context"
	"errors"
	"fmt"
)

// ObjectInfo is an object as ubusd knows it.
type ObjectInfo struct {
	ID      uint32 // until it is registered anew
	TypeID  uint32 // objects of the same type have the same methods
	Name    string
	Methods []Method // without Handle; those that we may call
}

// Lookup lists the objects whose name is pattern or, if that ends in "*", begins with what is before; "" lists all. The
// error is StatusNotFound when there is none for a pattern that is not "". Objects whose description makes no sense are
// left out.
func (c *Conn) Lookup(ctx context.Context, pattern string) ([]ObjectInfo, error) {
	objects, err := c.lookup(ctx, pattern)
	if err != nil {
		return nil, fmt.Errorf("ubus: look up %q: %w", pattern, err)
	}
	return objects, nil
}

func (c *Conn) lookup(ctx context.Context, pattern string) ([]ObjectInfo, error) {
	var body Body
	if pattern != "" {
		body = body.Text(AttrObjPath, pattern)
	}
	var objects []ObjectInfo
	err := c.ask(ctx, Message{Type: MsgLookup, Body: body}, func(a Attrs) {
		if o, ok := objectInfo(a); ok {
			objects = append(objects, o)
		}
	})
	if err != nil {
		return nil, err
	}
	return objects, nil
}

func objectInfo(a Attrs) (o ObjectInfo, ok bool) {
	signature, err := a.Table(AttrSignature)
	var okID, okType, okName bool
	o.ID, okID = a.Uint32(AttrObjID)
	o.TypeID, okType = a.Uint32(AttrObjType)
	o.Name, okName = a.Text(AttrObjPath)
	if err != nil || !okID || !okType || !okName {
		return ObjectInfo{}, false
	}
	for _, f := range signature {
		m := Method{Name: f.Name}
		args, _ := f.Value.(Table) // Lua sends "no arguments" as an empty array
		for _, arg := range args {
			kind, _ := args.Int(arg.Name)
			m.Args = append(m.Args, Arg{arg.Name, Type(kind)})
		}
		o.Methods = append(o.Methods, m)
	}
	return o, true
}

// Call calls a method and waits for its answer. An error that wraps a Status is the object's own verdict, or ubusd's;
// the table may be there beside it. When several messages with data come, the last one counts. ubusd does not say when
// the object goes away without an answer: let ctx end.
func (c *Conn) Call(ctx context.Context, object, method string, args Table) (Table, error) {
	data, err := c.call(ctx, object, method, args)
	if err != nil {
		return data, fmt.Errorf("ubus: call %s %s: %w", object, method, err)
	}
	return data, nil
}

func (c *Conn) call(ctx context.Context, object, method string, args Table) (Table, error) {
	found, err := c.lookup(ctx, object)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		if o.Name == object { // it may hold a "*"
			return c.call1(ctx, o.ID, method, args)
		}
	}
	return nil, StatusNotFound
}

// call1 calls a method of the object with that id.
func (c *Conn) call1(ctx context.Context, id uint32, method string, args Table) (Table, error) {
	body, err := invocation(id, method, args)
	if err != nil {
		return nil, err
	}
	var data Table
	var bad error
	err = c.ask(ctx, Message{Type: MsgInvoke, Peer: id, Body: body}, func(a Attrs) {
		data, bad = a.Table(AttrData)
	})
	var status Status
	if err != nil && !errors.As(err, &status) {
		return nil, err
	}
	if err == nil && bad != nil {
		err = fmt.Errorf("the answer makes no sense: %w", bad)
	}
	return data, err
}

// Send sends an event to the clients that listen for it.
func (c *Conn) Send(ctx context.Context, event string, data Table) error {
	body, err := eventBody(event, data)
	if err == nil {
		err = c.ask(ctx, Message{Type: MsgInvoke, Peer: EventObject, Body: body}, nil)
	}
	if err != nil {
		return fmt.Errorf("ubus: send event %s: %w", event, err)
	}
	return nil
}

// Listen has handle called for each event whose name is pattern or, if that ends in "*", begins with what is before.
// handle must not block, as nothing else is received meanwhile. Our own events do not come back.
func (c *Conn) Listen(ctx context.Context, pattern string, handle func(event string, data Table)) error {
	id, err := c.add(ctx, "", nil, func(_ Message, a Attrs) {
		event, ok := a.Text(AttrMethod)
		if data, err := a.Table(AttrData); ok && err == nil {
			handle(event, data)
		}
	})
	if err == nil {
		_, err = c.call1(ctx, EventObject, "register", Table{{"object", int32(id)}, {"pattern", pattern}})
	}
	if err != nil {
		return fmt.Errorf("ubus: listen for %s: %w", pattern, err)
	}
	return nil
}

// invocation is the body of a call. The table is there even when it is empty: some objects want one.
func invocation(id uint32, method string, args Table) (Body, error) {
	data, err := AppendTable(nil, args)
	if err != nil {
		return nil, err
	}
	return Body(nil).Uint32(AttrObjID, id).Text(AttrMethod, method).Bytes(AttrData, data), nil
}

func eventBody(event string, data Table) (Body, error) {
	return invocation(EventObject, "send", Table{{"id", event}, {"data", data}})
}
