package ubusd

import (
	"slices"
	"strings"

	"wguplink/agent/ubus"
)

// objectType is the methods that one or more objects have.
type objectType struct {
	id      uint32
	methods []byte // as registered, in wire format
	refs    int
}

type object struct {
	id     uint32
	name   string // "" if it has none
	kind   *objectType
	client *client
	seen   bool // has got the event that is being sent
}

func (d *Daemon) lookup(c *client, m ubus.Message, a ubus.Attrs) ubus.Status {
	path, ok := a.Text(ubus.AttrObjPath)
	if !ok {
		for _, name := range d.names() {
			d.sendObject(c, m, d.byName[name])
		}
		return ubus.StatusOK
	}
	if path == "" {
		return ubus.StatusInvalidArgument
	}
	prefix, wild := strings.CutSuffix(path, "*")
	found := false
	for _, name := range d.names() {
		if name == path || wild && strings.HasPrefix(name, prefix) {
			found = true
			d.sendObject(c, m, d.byName[name])
		}
	}
	if !found {
		return ubus.StatusNotFound
	}
	return ubus.StatusOK
}

// sendObject describes an object. Those who may call none of its methods do not see it.
func (d *Daemon) sendObject(c *client, m ubus.Message, o *object) {
	if o.kind == nil || !c.may(o.name) && len(o.kind.methods) > 0 {
		return
	}
	m.Type, m.Body = ubus.MsgData, ubus.Body(nil).Text(ubus.AttrObjPath, o.name).Uint32(ubus.AttrObjID, o.id).
		Uint32(ubus.AttrObjType, o.kind.id).Bytes(ubus.AttrSignature, o.kind.methods)
	c.send(m)
}

func (d *Daemon) addObject(c *client, m ubus.Message, a ubus.Attrs) ubus.Status {
	o := &object{client: c}
	if id, ok := a.Uint32(ubus.AttrObjType); ok {
		if o.kind = d.types[id]; o.kind != nil {
			o.kind.refs++
		}
	} else if s := a[ubus.AttrSignature]; s != nil {
		// ubusd goes on without a type when the methods make no sense.
		if _, err := ubus.DecodeTable(s); err == nil {
			id := d.newID(func(id uint32) bool { return d.types[id] != nil })
			o.kind = &objectType{id: id, methods: s, refs: 1}
			d.types[id] = o.kind
		}
	}
	o.id = d.newID(func(id uint32) bool { return d.objects[id] != nil })
	if name, ok := a.Text(ubus.AttrObjPath); ok {
		if !c.may(name) || d.byName[name] != nil {
			d.unref(o.kind)
			return ubus.StatusInvalidArgument
		}
		o.name = name
		d.byName[name] = o
		d.nameChanged()
	}
	d.objects[o.id] = o
	c.objects = append(c.objects, o)
	if o.name != "" {
		d.objectEvent("ubus.object.add", o)
	}

	m.Type, m.Body = ubus.MsgData, ubus.Body(nil).Uint32(ubus.AttrObjID, o.id)
	if a[ubus.AttrSignature] != nil && o.kind != nil {
		m.Body = m.Body.Uint32(ubus.AttrObjType, o.kind.id)
	}
	c.send(m)
	return ubus.StatusOK
}

func (d *Daemon) removeObject(c *client, m ubus.Message, a ubus.Attrs) ubus.Status {
	id, ok := a.Uint32(ubus.AttrObjID)
	if !ok {
		return ubus.StatusInvalidArgument
	}
	o := d.objects[id]
	if o == nil {
		return ubus.StatusNotFound
	}
	if o.client != c {
		return ubus.StatusPermissionDenied
	}
	m.Type, m.Body = ubus.MsgData, ubus.Body(nil).Uint32(ubus.AttrObjID, o.id)
	if o.kind != nil && o.kind.refs == 1 {
		m.Body = m.Body.Uint32(ubus.AttrObjType, o.kind.id)
	}
	c.send(m)
	d.free(o)
	return ubus.StatusOK
}

// free forgets an object.
func (d *Daemon) free(o *object) {
	d.patterns = slices.DeleteFunc(d.patterns, func(p *pattern) bool { return p.object == o })
	o.client.objects = slices.DeleteFunc(o.client.objects, func(other *object) bool { return other == o })
	if o.name != "" {
		d.objectEvent("ubus.object.remove", o)
		delete(d.byName, o.name)
		d.nameChanged()
	}
	delete(d.objects, o.id)
	d.unref(o.kind)
}

func (d *Daemon) unref(t *objectType) {
	if t == nil {
		return
	}
	if t.refs--; t.refs == 0 {
		delete(d.types, t.id)
	}
}

func (d *Daemon) nameChanged() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// invoke passes a call on to the object's client, who then answers; ubusd's own object answers at once.
func (d *Daemon) invoke(c *client, m ubus.Message, a ubus.Attrs) (status ubus.Status, passed bool) {
	method, okMethod := a.Text(ubus.AttrMethod)
	id, okID := a.Uint32(ubus.AttrObjID)
	if !okMethod || !okID {
		return ubus.StatusInvalidArgument, false
	}
	if id == ubus.EventObject {
		return d.event(c, method, a), false
	}
	o := d.objects[id]
	if o == nil {
		return ubus.StatusNotFound, false
	}
	if !c.may(o.name) {
		return ubus.StatusPermissionDenied, false
	}
	m.Peer = c.id
	m.Body = ubus.Body(nil).Uint32(ubus.AttrObjID, o.id).Text(ubus.AttrMethod, method).
		Text(ubus.AttrUser, c.who.user).Text(ubus.AttrGroup, c.who.group)
	if data := a[ubus.AttrData]; data != nil {
		m.Body = m.Body.Bytes(ubus.AttrData, data)
	}
	o.client.send(m)
	return ubus.StatusOK, true
}

// respond passes an object's answer on to the one who called.
func (d *Daemon) respond(c *client, m ubus.Message, a ubus.Attrs) {
	id, ok := a.Uint32(ubus.AttrObjID)
	if _, status := a.Uint32(ubus.AttrStatus); !ok || m.Type == ubus.MsgStatus && !status ||
		m.Type == ubus.MsgData && a[ubus.AttrData] == nil {
		return
	}
	o, to := d.objects[id], d.clients[m.Peer]
	if o == nil || o.client != c || to == nil {
		return
	}
	m.Peer = id
	to.send(m)
}
