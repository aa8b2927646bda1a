package nodetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"wguplink/agent/doctor"
	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/topology"
)

// tabled says whether the table of gateways is looked at: once, on the machine that is quick enough for its times, by
// the kernel's WireGuard. The lab has it with the one in user space.
func (t *Test) tabled() bool { return t.Arch == "amd64" && t.Run.Backend == "kernel" }

// netcheck has the table of all gateways made beside the tunnel: each answers, what passes is measured, and neither the
// gateway in use nor the pings through it notice. The broker has named one; a copy of the configuration has the others,
// too.
func (t *Test) netcheck(ctx context.Context) (string, error) {
	before, err := t.status(ctx)
	if err != nil {
		return "", err
	}
	if !topology.Connected(before) {
		return "", fmt.Errorf("the node is not connected: %+v", before)
	}
	uci, err := t.Node.Read(ctx, "/etc/config/wguplink")
	if err != nil {
		return "", err
	}
	if !t.Static {
		var o gatewayvm.Options
		if err := t.askFor(ctx, &o, "options"); err != nil {
			return "", err
		}
		uci += "\n" + o.Sections
	}
	if err := t.Node.Write(ctx, "/tmp/wguplink", uci); err != nil {
		return "", err
	}
	from, err := t.Now(ctx)
	if err != nil {
		return "", err
	}
	r, err := t.Node.Agent(ctx, "netcheck", "--json", "--config", "/tmp")
	if err != nil {
		return "", err
	}
	note, err := checkTable(r.Out, before.Gateway.Name)
	if err != nil || r.Code != 0 {
		return "", fmt.Errorf("code %d, %w: %s", r.Code, err, r.Out)
	}
	after, err := t.status(ctx)
	if err != nil {
		return "", err
	}
	if !topology.Connected(after) || after.Gateway.Name != before.Gateway.Name || after.PID != before.PID {
		return "", fmt.Errorf("before: %+v; after: %+v", before, after)
	}
	if address, err := t.Node.Read(ctx, "/sys/class/net/wgdoctor/address"); err == nil {
		return "", fmt.Errorf("the device of the test is still there: %s", address)
	}
	ms, err := t.lost(ctx, from)
	if err == nil && ms > restartLost.Milliseconds() {
		err = fmt.Errorf("pings were lost for %d ms", ms)
	}
	return fmt.Sprintf("%s; pings lost for %d ms", note, ms), err
}

// checkTable says whether a table has each gateway as one that answers, the one in use among them, and more than that
// one.
func checkTable(table, inUse string) (string, error) {
	var all struct {
		Uplinks map[string]struct{ Gateways []doctor.Reach }
	}
	if err := json.Unmarshal([]byte(table), &all); err != nil {
		return "", err
	}
	var answers []string
	names, used := map[string]bool{}, false
	for _, u := range all.Uplinks {
		for _, g := range u.Gateways {
			name := topology.ShortName(g.Name)
			names[name] = names[name] || false
			if g.Handshake != "answered" || g.Received == 0 || g.MTU == 0 {
				continue
			}
			names[name] = true
			used = used || g.InUse && name == topology.ShortName(inUse)
			answers = append(answers, fmt.Sprintf("%s %s MTU %d", name, g.Family, g.MTU))
		}
	}
	for name, answered := range names {
		if !answered {
			return "", fmt.Errorf("%s did not answer", name)
		}
	}
	if !used || len(names) < 2 {
		return "", fmt.Errorf("%d gateways, %s in use: %v", len(names), inUse, used)
	}
	return strings.Join(answers, ", "), nil
}
