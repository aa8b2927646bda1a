package nodetest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/topology"
)

// NoIPv6 is what a kernel is told to have no IPv6 at all.
const NoIPv6 = "ipv6.disable=1"

// mostComplaints is how many warnings and errors a node without IPv6 may log when it is asked for what it cannot do:
// the state that it is in, what could not be made, and one more.
const mostComplaints = 3

// bareSteps are those of a node whose kernel has no IPv6.
func (t *Test) bareSteps() []step {
	return []step{
		{"boot with the clock in 1970 and no key", t.boot},
		{"no IPv6: a VXLAN cannot be, and one cause says so", t.refused},
		{"no IPv6: layer 3 by IPv4", t.plain},
	}
}

// refused asks for a VXLAN, whose gateways have link-local addresses.
func (t *Test) refused(ctx context.Context) (string, error) {
	if _, err := t.ask(ctx, "mesh", t.Run.Algorithm); err != nil {
		return "", err
	}
	uci, _, err := t.uci(ctx)
	if err != nil {
		return "", err
	}
	if err := t.Node.Write(ctx, "/etc/config/wguplink", uci); err != nil {
		return "", err
	}
	if err := t.Node.Start(ctx); err != nil {
		return "", err
	}
	s, err := t.Status(ctx, "cause device", func(s topology.Status) bool {
		return s.Cause == "device" && strings.Contains(s.Reason, NoIPv6)
	})
	if err != nil {
		return "", err
	}
	// It tries again, ever more seldom; that is not worth a word each time.
	if err := topology.Pause(ctx, t.Idle); err != nil {
		return "", err
	}
	complaints := regexp.MustCompile(`level=(WARN|ERROR)`).FindAllString(t.Node.Tail(1000), -1)
	if len(complaints) == 0 || len(complaints) > mostComplaints {
		return "", fmt.Errorf("%d warnings and errors in the log, want 1 to %d", len(complaints), mostComplaints)
	}
	r, err := t.Node.Agent(ctx, "doctor")
	if err != nil {
		return "", err
	}
	if r.Code == 0 || !strings.Contains(r.Out, NoIPv6) {
		return "", fmt.Errorf("doctor: code %d, and not a word of %s: %s", r.Code, NoIPv6, r.Out)
	}
	return fmt.Sprintf("%s; %d lines in the log", s.Reason, len(complaints)), nil
}

// plain goes on without a VXLAN.
func (t *Test) plain(ctx context.Context) (string, error) {
	var o gatewayvm.Options
	if err := t.askFor(ctx, &o, "options"); err != nil {
		return "", err
	}
	delete(o.Static, "vxlan_id")
	o.Static["mode"], o.Static["fwmark"] = []string{"layer3"}, []string{"0"}
	inside := fmt.Sprintf("option link_address '%s'\n\tlist allowed_ips '%s'", gatewayvm.GatewayPlain.Addr(),
		gatewayvm.GatewayPlain.Masked())
	sections := regexp.MustCompile(`option link_address '[^']*'`).ReplaceAllString(o.Sections, inside)
	// The agent has stored its key there meanwhile.
	now, err := t.Node.Read(ctx, "/etc/config/wguplink")
	if err != nil {
		return "", err
	}
	key := regexp.MustCompile(`option private_key '([^']*)'`).FindStringSubmatch(now)
	if key == nil {
		return "", errors.New("the agent has not stored its key")
	}
	o.Static["private_key"] = key[1:]
	if err := t.Node.Write(ctx, "/etc/config/wguplink", topology.UCI(o.Static, sections)); err != nil {
		return "", err
	}
	if err := t.Node.Restart(ctx); err != nil {
		return "", err
	}
	s, err := t.Status(ctx, "has a key", func(s topology.Status) bool { return s.PublicKey != "" })
	if err != nil {
		return "", err
	}
	if _, err := t.ask(ctx, "plain", s.PublicKey); err != nil {
		return "", err
	}
	if s, err = t.Status(ctx, "shaking hands", func(s topology.Status) bool { return s.Gateway != nil }); err != nil {
		return "", err
	}
	if err := t.Node.Address(ctx, "wg_mesh", gatewayvm.NodePlain); err != nil {
		return "", err
	}
	if _, err := t.ask(ctx, "ping-plain", "500"); err != nil {
		return "", err
	}
	began, err := t.Now(ctx)
	if err != nil {
		return "", err
	}
	r, err := t.Reply(ctx, began, "")
	if err != nil {
		return "", err
	}
	if s, err = t.Status(ctx, "connected", topology.Connected); err != nil {
		return "", err
	}
	if _, err := t.ask(ctx, "ping-plain", "0"); err != nil {
		return "", err
	}
	return fmt.Sprintf("an answer by %s; the status says %v", r.Gateway, s.Warnings), nil
}
