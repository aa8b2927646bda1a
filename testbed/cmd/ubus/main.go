// Command ubus serves a ubus socket with the object wguplink on it, for tests of what talks to the agent. The daemon is
// testbed/ubusd, the object is served by the agent's own package ubus, and answers are encoded as the agent does; only
// the uplinks behind it are made up: snapshots in JSON files.
//
//	ubus [-mute | -alone] SOCKET [SNAPSHOT.json...]
//	ubus -call SOCKET OBJECT METHOD                    a method's answer as a value of Lua
//
// It prints "ready" once the object can be called, and ends when its standard input does. A snapshot's field
// "connected_for" (seconds) becomes the moment since which its gateway has been in use. With -mute nothing is answered;
// with -alone there is only the daemon, and another program has to bring the object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"wguplink/agent/status"
	"wguplink/agent/ubus"
	"wguplink/testbed/ubusd"
)

func main() {
	mute := flag.Bool("mute", false, "never answer")
	alone := flag.Bool("alone", false, "no object of its own")
	asks := flag.Bool("call", false, "call a method")
	flag.Parse()
	if flag.NArg() < 1 || *asks && flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr,
			"usage: ubus [-mute | -alone] SOCKET [SNAPSHOT.json...], or: ubus -call SOCKET OBJECT METHOD")
		os.Exit(2)
	}
	if *asks {
		if err := call(flag.Arg(0), flag.Arg(1), flag.Arg(2)); err != nil {
			fmt.Fprintln(os.Stderr, "ubus:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(flag.Arg(0), flag.Args()[1:], *mute, *alone); err != nil {
		fmt.Fprintln(os.Stderr, "ubus:", err)
		os.Exit(1)
	}
}

func run(socket string, files []string, mute, alone bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	uplinks := ubus.Table{}
	for _, name := range files {
		uplink, t, err := load(name)
		if err != nil {
			return err
		}
		uplinks = append(uplinks, ubus.Field{Name: uplink, Value: t})
	}
	object := ubus.Object{Name: "wguplink", Methods: []ubus.Method{{
		Name: "status", Handle: func(context.Context, ubus.Table) (ubus.Table, error) {
			if mute {
				<-ctx.Done()
			}
			return ubus.Table{{Name: "uplinks", Value: uplinks}}, nil
		}}}}
	ln, err := ubusd.Listen(socket)
	if err != nil {
		return err
	}
	daemon := ubusd.New()
	ended := make(chan error, 2)
	go func() { ended <- daemon.Serve(ctx, ln) }()
	go func() {
		if alone {
			ended <- nil
			return
		}
		ended <- ubus.NewServer(socket, object).Run(ctx)
	}()
	if err := daemon.Await(ctx, object.Name); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	cancel()
	return errors.Join(<-ended, <-ended)
}

// load gives a snapshot's uplink, and the snapshot as the agent encodes it.
func load(name string) (string, ubus.Table, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", nil, err
	}
	var s status.Snapshot
	var extra struct {
		ConnectedFor int64 `json:"connected_for"`
	}
	if err := errors.Join(json.Unmarshal(text, &s), json.Unmarshal(text, &extra)); err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.Gateway != nil {
		s.Gateway.Established = status.Now() - status.Uptime(extra.ConnectedFor*1000)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "", nil, err
	}
	t, err := ubus.TableFromJSON(b)
	return s.Uplink, t, err
}
