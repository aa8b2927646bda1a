package ubusd

import (
	"slices"
	"strings"

	"wguplink/agent/ubus"
)

// pattern is what an object listens for.
type pattern struct {
	prefix string
	exact  bool // the whole name, not its beginning
	object *object
}

// event handles a call of ubusd's event object.
func (d *Daemon) event(c *client, method string, a ubus.Attrs) ubus.Status {
	args, err := a.Table(ubus.AttrData)
	if err != nil {
		return ubus.StatusInvalidArgument
	}
	switch method {
	case "register":
		return d.register(c, args)
	case "send":
		return d.forward(c, args)
	}
	return ubus.StatusInvalidCommand
}

func (d *Daemon) register(c *client, args ubus.Table) ubus.Status {
	v, _ := args.Get("object")
	number, okID := v.(int32)
	name, okName := args.String("pattern")
	if !okID || !okName {
		return ubus.StatusInvalidArgument
	}
	id := uint32(number)
	o := d.objects[id]
	switch {
	case id < systemObjectMax:
		return ubus.StatusPermissionDenied
	case o == nil:
		return ubus.StatusNotFound
	case o.client != c:
		return ubus.StatusPermissionDenied
	}
	prefix, wild := strings.CutSuffix(name, "*")
	if !c.may(prefix) {
		return ubus.StatusPermissionDenied
	}
	d.patterns = append(d.patterns, &pattern{prefix, !wild, o})
	slices.SortStableFunc(d.patterns, func(a, b *pattern) int { return strings.Compare(a.prefix, b.prefix) })
	return ubus.StatusOK
}

func (d *Daemon) forward(c *client, args ubus.Table) ubus.Status {
	id, okID := args.String("id")
	data, okData := args.Table("data")
	if !okID || !okData {
		return ubus.StatusInvalidArgument
	}
	if strings.HasPrefix(id, "ubus.") || !c.may(id) {
		return ubus.StatusPermissionDenied
	}
	d.sendEvent(c, id, data)
	return ubus.StatusOK
}

// objectEvent tells that an object comes or goes.
func (d *Daemon) objectEvent(id string, o *object) {
	d.sendEvent(nil, id, ubus.Table{{Name: "id", Value: int32(o.id)}, {Name: "path", Value: o.name}})
}

// sendEvent sends an event once to each object that listens for it, but to none of the sender's.
func (d *Daemon) sendEvent(from *client, id string, data ubus.Table) {
	raw, err := ubus.AppendTable(nil, data)
	if err != nil {
		return // it was decoded from a message, or made here: that cannot be
	}
	for _, p := range d.patterns {
		p.object.seen = false
	}
	for _, p := range d.patterns {
		match := id == p.prefix || !p.exact && strings.HasPrefix(id, p.prefix)
		if !match || p.object.client == from || p.object.seen {
			continue
		}
		p.object.seen = true
		d.eventSeq++
		p.object.client.send(ubus.Message{
			Type: ubus.MsgInvoke, Seq: d.eventSeq,
			Body: ubus.Body(nil).Uint32(ubus.AttrObjID, p.object.id).Text(ubus.AttrMethod,
				id).Bytes(ubus.AttrData, raw),
		})
	}
}
