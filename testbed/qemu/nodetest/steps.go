package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"wguplink/agent/batman"
	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// uci makes the node's configuration, and gives the certificate of the broker's authority.
func (t *Test) uci(ctx context.Context) (uci, ca string, err error) {
	var o gatewayvm.Options
	if err := t.askFor(ctx, &o, "options"); err != nil {
		return "", "", err
	}
	options, more := o.Broker, []string(nil)
	if t.Static {
		options, more = o.Static, []string{o.Sections}
	}
	options["batman"] = []string{"bat0"}
	options["fwmark"] = []string{"0"}
	options["batman_throughput"] = []string{strconv.Itoa(throughput)}
	options["batman_hop_penalty"] = []string{strconv.Itoa(hopPenalty)}
	if !t.Static {
		// An emulated processor that shares ours with others may take long over TLS.
		options["broker_timeout"] = []string{"60"}
	}
	for k, v := range t.Extra {
		options[k] = v
	}
	ca, err = t.ask(ctx, "ca")
	return topology.UCI(options, more...), ca, err
}

func (t *Test) originators(ctx context.Context) (string, error) {
	here, err := originators(t.Node.Originators(ctx, "bat0"))
	if errors.Is(err, errors.ErrUnsupported) {
		there, err := originators(t.ask(ctx, "originators", t.gateway))
		if err != nil || len(there) == 0 {
			return "", fmt.Errorf("gateway: %d originators, %w", len(there), err)
		}
		return "on the gateway; the node has nothing to ask with", nil
	}
	if err != nil {
		return "", fmt.Errorf("node: %w", err)
	}
	there, err := originators(t.ask(ctx, "originators", t.gateway))
	if err != nil {
		return "", fmt.Errorf("gateway: %w", err)
	}
	if len(here) == 0 || len(there) == 0 {
		return "", fmt.Errorf("%d on the node, %d on the gateway", len(here), len(there))
	}
	quality := fmt.Sprintf("TQ %d", here[0].Quality)
	if t.Run.Algorithm == batman.V {
		quality = fmt.Sprintf("%d kbit/s", here[0].Throughput)
		if here[0].Quality != 0 {
			return "", fmt.Errorf("BATMAN_V has no TQ, but here is %d", here[0].Quality)
		}
	} else if here[0].Quality == 0 {
		return "", errors.New("BATMAN_IV without TQ")
	}
	return fmt.Sprintf("%v with %s", here[0].Address, quality), nil
}

func originators(out string, err error) ([]batman.Originator, error) {
	if err != nil {
		return nil, err
	}
	var all []batman.Originator
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, fmt.Errorf("originators: %w", err)
	}
	return all, nil
}

func (t *Test) doctor(ctx context.Context) (string, error) {
	r, err := t.Node.Agent(ctx, "doctor")
	if err != nil {
		return "", err
	}
	if r.Code != 0 {
		return "", fmt.Errorf("code %d: %s", r.Code, r.Out)
	}
	return "", nil
}

// happens has a step of the lab's happen, and says when it began.
func (t *Test) happens(ctx context.Context, s scenario.Step) (o scenario.Outcome, began time.Time, err error) {
	if began, err = t.Now(ctx); err != nil {
		return o, began, err
	}
	if o, err = s.Run(ctx, t, t.gateway); err != nil {
		return o, began, err
	}
	now := topology.ShortName(o.Status.Gateway.Name)
	if now != o.Reply.Gateway {
		return o, began, fmt.Errorf("an answer by %s, but the node is with %s", o.Reply.Gateway, now)
	}
	t.gateway = now
	return o, began, nil
}

// cut takes the gateway in use off the net for a while. The broker does not know, and its tunnels stay.
func (t *Test) cut(ctx context.Context) (string, error) {
	was := t.gateway
	o, _, err := t.happens(ctx, scenario.CutGateway)
	if err == nil {
		err = t.Happen(ctx, topology.Mended, "")
	}
	return took(o, was), err
}

func (t *Test) failover(ctx context.Context) (string, error) {
	was := t.gateway
	o, _, err := t.happens(ctx, scenario.KillGateway)
	t.measured.SwitchMS, t.measured.FailoverMS = o.Connected.Milliseconds(), o.Took.Milliseconds()
	return took(o, was), err
}

func took(o scenario.Outcome, was string) string {
	return fmt.Sprintf("tunnel after %d ms, ping over bat0 after %d; from %s to %s", o.Connected.Milliseconds(),
		o.Took.Milliseconds(), was, o.Reply.Gateway)
}

func (t *Test) reboot(ctx context.Context) (string, error) {
	if err := t.Node.Reboot(ctx); err != nil {
		return "", err
	}
	t.seen = uptime{} // the machine counts from zero
	if _, err := t.stood(ctx); err != nil {
		return "", err
	}
	now, err := t.Node.Now(ctx)
	if err != nil {
		return "", err
	}
	if now.Year() > 1970 {
		return "", fmt.Errorf("the clock says %v after the reboot", now)
	}
	r, err := t.Node.Agent(ctx, "key", "show")
	if err != nil {
		return "", err
	}
	if key := trim(r.Out); r.Code != 0 || key != t.key {
		return "", fmt.Errorf("the key was %s, and is %s", t.key, r.Out)
	}
	began, err := t.Now(ctx)
	if err != nil {
		return "", err
	}
	if err := t.Node.Start(ctx); err != nil {
		return "", err
	}
	reply, err := t.Reply(ctx, began, "")
	if err != nil {
		return "", err
	}
	s, err := t.Status(ctx, "connected", topology.Connected)
	if err != nil {
		return "", err
	}
	t.gateway = topology.ShortName(s.Gateway.Name)
	return fmt.Sprintf("ping over bat0 %d ms after the agent's start", reply.At.Sub(began).Milliseconds()), nil
}

// rest watches the agent while nothing happens.
func (t *Test) rest(ctx context.Context) (string, error) {
	if _, err := t.ask(ctx, "ping", "0"); err != nil {
		return "", err
	}
	pid, err := t.Node.PID(ctx)
	if err != nil {
		return "", err
	}
	before, err := t.usage(ctx, pid)
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := topology.Pause(ctx, t.Idle); err != nil {
		return "", err
	}
	after, err := t.usage(ctx, pid)
	if err != nil {
		return "", err
	}
	took := time.Since(start)
	m := &t.measured
	m.RSS, m.ExactRSS, m.Anon, m.PSS, m.MaxRSS, m.Threads = after.rss, after.exact, after.anon, after.pss,
		after.hwm, after.threads
	m.IdleSeconds = took.Seconds()
	m.CPUPer5Min = float64(after.ticks-before.ticks) / clockTicks * (5 * time.Minute).Seconds() / took.Seconds()
	return fmt.Sprintf("VmRSS %d KiB, counted %d, anonymous %d, Pss %d, %d threads, %.2f CPU s per 5 min", m.RSS,
		m.ExactRSS, m.Anon, m.PSS, m.Threads, m.CPUPer5Min), nil
}

// switches has the node change its gateway many times, and looks what that leaves in memory.
func (t *Test) switches(ctx context.Context) (string, error) {
	refused := 0
	for t.measured.SwitchedTimes < t.Switches {
		r, err := t.Node.Agent(ctx, "reconnect")
		if err != nil {
			return "", err
		}
		if r.Code != 0 {
			// An emulated processor that has to wait for its turn may miss an answer; the agent then stays where it is.
			if refused++; refused <= t.Switches/3 {
				continue
			}
			return "", fmt.Errorf("wguplink reconnect: code %d: %s", r.Code, r.Out)
		}
		pid, err := t.Node.PID(ctx)
		if err != nil {
			return "", err
		}
		u, err := t.usage(ctx, pid)
		if err != nil {
			return "", err
		}
		t.measured.SwitchAnon = append(t.measured.SwitchAnon, u.anon)
		t.measured.SwitchedTimes++
	}
	return fmt.Sprintf("%d, %d more refused; RssAnon %d KiB after the first, %d after the last", t.Switches, refused,
		t.measured.SwitchAnon[0], t.measured.SwitchAnon[t.Switches-1]), nil
}
