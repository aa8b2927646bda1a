//go:build !nobroker

package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/doctor"
	"wguplink/agent/status"
)

const netcheckManual = `One line for each gateway and address family: its address, the handshake, and
inside the tunnel the least round trip, the packets lost of ten, and the MTU
that passes. The tunnel is not disturbed: the gateway in use (*) is asked
through the agent's device; the others get a handshake from a device of its
own, which has neither address nor route and goes in the end. As gateways
answer known keys only, it is the node's own key. While the agent itself looks
for a gateway, it is left alone, and its own results are shown. It takes up to
a minute. The exit code is 0 when at least one gateway answers.`

// checkedNet is an uplink in the JSON of netcheck.
type checkedNet struct {
	Gateways []doctor.Reach `json:"gateways"`
	Error    string         `json:"error,omitempty"` // why there is nothing more
}

// netcheck is the command of that name.
func netcheck(c call) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return about(func(c call, uplinks []config.Uplink) int {
		code := exitFailed
		all := map[string]checkedNet{}
		for _, u := range uplinks {
			if !u.Enabled && len(uplinks) > 1 {
				continue
			}
			opts := doctorOptions(c.options)
			opts.Uplink = u
			rows, err := doctor.Netcheck(ctx, opts)
			one := checkedNet{Gateways: append([]doctor.Reach{}, rows...)}
			for _, r := range rows {
				if r.Handshake == "answered" {
					code = exitOK
				}
			}
			if err != nil {
				one.Error = err.Error()
			}
			if all[u.Name] = one; c.json {
				continue
			}
			if len(rows) > 0 {
				printReach(c.stdout, u.Name, rows)
			}
			if err != nil {
				fmt.Fprintf(c.stderr, "uplink %s: %v\n", u.Name, err)
			}
		}
		if c.json && !printJSON(map[string]any{"uplinks": all}, c.stdout, c.stderr) {
			return exitFailed
		}
		return code
	})(c)
}

// printReach prints the table of one uplink.
func printReach(w io.Writer, uplink string, rows []doctor.Reach) {
	name, address := len("gateway"), len("address")
	for _, r := range rows {
		name, address = max(name, len(r.Name)), max(address, len(r.Address))
	}
	line := func(mark, gateway, at, family, handshake, trip, loss, mtu, reason string) {
		fmt.Fprintf(w, "%s %-*s  %-*s  %-6s  %-12s  %-10s  %-6s  %-5s%s\n", mark, name, gateway, address, at, family,
			handshake, trip, loss, mtu, reason)
	}
	fmt.Fprintf(w, "%s:\n", uplink)
	line(" ", "gateway", "address", "family", "handshake", "round trip", "loss", "MTU", "")
	for _, r := range rows {
		mark, handshake, trip, loss, mtu, reason := " ", r.Handshake, "-", "-", "-", ""
		switch {
		case r.Took != 0:
			handshake = status.Trip(time.Duration(r.Took) * time.Microsecond)
		case r.Handshake == "answered":
			handshake = "in use"
			if !r.InUse {
				handshake = "standing by"
			}
		}
		if r.InUse {
			mark = "*"
		}
		if r.RTT != 0 {
			trip = status.Trip(time.Duration(r.RTT) * time.Microsecond)
		}
		if r.Sent != 0 {
			loss = fmt.Sprintf("%d %%", (r.Sent-r.Received)*100/r.Sent)
		}
		if r.MTU != 0 {
			mtu = fmt.Sprint(r.MTU)
		}
		if r.Reason != "" {
			reason = "  " + r.Reason
		}
		line(mark, r.Name, r.Address, r.Family, handshake, trip, loss, mtu, reason)
	}
}
