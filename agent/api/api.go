// Package api is what the agent offers on ubus: the object wguplink with the methods status, reconnect and reload, and
// the event wguplink.state.
//
// ubusd lets only root call them and hear the event. For others an ACL file is needed, see docs/ubus.md.
package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wguplink/agent/json"
	"wguplink/agent/status"
	"wguplink/agent/ubus"
	"wguplink/agent/uplink"
)

// Names on ubus.
const (
	ObjectName = "wguplink"
	EventName  = "wguplink.state"
)

// Agent is what the object speaks for. Its methods are called from several goroutines.
type Agent interface {
	// Status gives the present state of each running uplink.
	Status() []status.Snapshot
	// Reconnect switches an uplink to another gateway; see uplink.Group.
	Reconnect(ctx context.Context, uplink, gateway string) (uplink.Outcome, error)
	// Reload reads the configuration again, and runs what can be run in spite of its mistakes. An error leaves the old
	// one in force.
	Reload(ctx context.Context) (mistakes []string, err error)
}

// callTime bounds a call. The ubus tool gives up after 30 s, without a word of ours.
const callTime = 20 * time.Second

var (
	errUndecided = fmt.Errorf("no gateway has answered within %v; the wish is dropped, see wguplink status", callTime)
	errNotTaken  = fmt.Errorf("the agent was busy for %v; call again", callTime)
)

// Object is the object wguplink.
//
//	status     {}                                  -> {"uplinks": {"mesh": {…}}}, each as `wguplink status --json` prints it
//	reconnect  {"uplink": "mesh", "gateway": "gw2"} -> {"gateway": "gw2", "changed": true}; both arguments may be left out
//	reload     {}                                  -> {"mistakes": ["…"]}, without a mistake {}
//
// A call that nothing has decided within callTime fails. What fails answers with {"error": "why"} beside the status.
func Object(a Agent) ubus.Object {
	return ubus.Object{Name: ObjectName, Methods: []ubus.Method{
		{Name: "status", Handle: func(context.Context, ubus.Table) (ubus.Table, error) {
			return statusOf(a.Status())
		}},
		{Name: "reconnect", Waits: true, Args: []ubus.Arg{{Name: "uplink", Type: ubus.TypeString},
			{Name: "gateway", Type: ubus.TypeString}},
			Handle: func(ctx context.Context, args ubus.Table) (ubus.Table, error) {
				name, _ := args.String("uplink")
				gateway, _ := args.String("gateway")
				ctx, cancel := context.WithTimeoutCause(ctx, callTime, errUndecided)
				defer cancel()
				out, err := a.Reconnect(ctx, name, gateway)
				if err != nil {
					return failure(err)
				}
				return ubus.Table{{Name: "gateway", Value: out.Gateway}, {Name: "changed", Value: out.Changed}}, nil
			}},
		{Name: "reload", Waits: true, Handle: func(ctx context.Context, _ ubus.Table) (ubus.Table, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, callTime, errNotTaken)
			defer cancel()
			mistakes, err := a.Reload(ctx)
			if err != nil {
				return failure(fmt.Errorf("%w: %w", ubus.StatusInvalidArgument, err))
			}
			if len(mistakes) == 0 {
				return ubus.Table{}, nil
			}
			list := make(ubus.Array, len(mistakes))
			for i, m := range mistakes {
				list[i] = m
			}
			return ubus.Table{{Name: "mistakes", Value: list}}, nil
		}},
	}}
}

// failure answers with the reason in words, beside the status that libubus knows.
func failure(err error) (ubus.Table, error) {
	if errors.Is(err, uplink.ErrUnknownGateway) || errors.Is(err, uplink.ErrUnknownUplink) {
		err = fmt.Errorf("%w: %w", ubus.StatusNotFound, err)
	}
	if errors.Is(err, errUndecided) || errors.Is(err, errNotTaken) {
		err = fmt.Errorf("%w: %w", ubus.StatusTimeout, err)
	}
	reason := err.Error()
	for _, s := range []ubus.Status{ubus.StatusNotFound, ubus.StatusInvalidArgument, ubus.StatusTimeout} {
		if errors.Is(err, s) {
			reason = reason[len(s.Error()+": "):]
		}
	}
	return ubus.Table{{Name: "error", Value: reason}}, err
}

func statusOf(all []status.Snapshot) (ubus.Table, error) {
	uplinks := ubus.Table{}
	for _, s := range all {
		t, err := table(s)
		if err != nil {
			return nil, err
		}
		uplinks = append(uplinks, ubus.Field{Name: s.Uplink, Value: t})
	}
	return ubus.Table{{Name: "uplinks", Value: uplinks}}, nil
}

// table is the snapshot in its JSON form.
func table(s status.Snapshot) (ubus.Table, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode status of %s: %w", s.Uplink, err)
	}
	return ubus.TableFromJSON(b)
}

// Event is the data of the event wguplink.state: what has changed, in few words.
func Event(s status.Snapshot) ubus.Table {
	t := ubus.Table{
		{Name: "uplink", Value: s.Uplink}, {Name: "state", Value: string(s.State)},
		{Name: "cause", Value: string(s.Cause)}, {Name: "reason", Value: s.Reason},
		{Name: "interface", Value: s.Interface},
	}
	if s.Gateway != nil {
		t = append(t, ubus.Field{Name: "gateway", Value: s.Gateway.Name})
	}
	return t
}
