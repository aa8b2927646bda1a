package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/signal"
	"syscall"
	"time"

	"wguplink/agent/api"
	"wguplink/agent/ubus"
)

// reconnectTimeout is more than the engine's patience with a gateway.
const reconnectTimeout = 30 * time.Second

// reconnect asks the running agent for another gateway.
func reconnect(o options, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, reconnectTimeout)
	defer cancel()
	call := ubus.Table{}
	if o.uplink != "" {
		call = append(call, ubus.Field{Name: "uplink", Value: o.uplink})
	}
	if len(args) > 0 {
		call = append(call, ubus.Field{Name: "gateway", Value: args[0]})
	}
	answer, err := ask(ctx, o.ubus, "reconnect", call)
	if why, ok := answer.String("error"); ok {
		err = errors.New(why)
	}
	if err != nil {
		fmt.Fprintln(stderr, "wguplink reconnect:", err)
		return exitFailed
	}
	gateway, _ := answer.String("gateway")
	if changed, _ := answer.Bool("changed"); !changed {
		gateway += ", as before"
	}
	fmt.Fprintln(stdout, "connected to", gateway)
	return exitOK
}

// ask calls a method of the running agent.
func ask(ctx context.Context, socket, method string, args ubus.Table) (ubus.Table, error) {
	c, err := ubus.Dial(ctx, socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("the agent is asked by ubus, and no ubusd runs: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer, err := c.Call(ctx, api.ObjectName, method, args)
	if errors.Is(err, ubus.StatusNotFound) && answer == nil {
		return nil, fmt.Errorf("no agent is on ubus; start it: %w", err)
	}
	return answer, err
}
