// Package node is the router under test as the scenario handles it: a machine made by us, or one that boots a user's
// image.
package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"wguplink/testbed/qemu/board"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/qemu/vm"
)

// Node is a router with our agent on it.
type Node interface {
	// Boot switches it on and returns when it takes commands. The agent does not run yet.
	Boot(ctx context.Context) error
	// Agent runs a sub-command of wguplink, and gives its output and exit code.
	Agent(ctx context.Context, args ...string) (console.Reply, error)
	// Read and Write are for small text files.
	Read(ctx context.Context, name string) (string, error)
	Write(ctx context.Context, name, text string) error
	// Now is the wall clock.
	Now(ctx context.Context) (time.Time, error)
	// Start, Stop and Kill act on the agent's service, which starts it again when it has been killed. PID is its
	// process.
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Kill(ctx context.Context) error
	// Restart ends the agent in order and starts it again; what it has made stays meanwhile.
	Restart(ctx context.Context) error
	// Delete deletes a network device, as another program may.
	Delete(ctx context.Context, device string) error
	PID(ctx context.Context) (int, error)
	// Reboot restarts the machine in order, and returns as Boot does.
	Reboot(ctx context.Context) error
	// Address gives a network device an address, as netifd does with an owner's.
	Address(ctx context.Context, device string, address netip.Prefix) error
	// Originators and Hard ask batman-adv; the answer is JSON of package batman's types.
	Originators(ctx context.Context, mesh string) (string, error)
	Hard(ctx context.Context, device string) (string, error)
	// TakeFlows has it take the gateway machine's TCP flows from now on.
	TakeFlows(ctx context.Context) error
	// Tail is what the console said last.
	Tail(lines int) string
	// Off switches it off.
	Off()
}

// diskSize is that of the disk that keeps /etc; bytes.
const diskSize = 4 << 20

// Own is a machine made by us, with vminit as its first process.
type Own struct {
	Board board.Board
	Setup board.Boot
	Dir   string // for its disk
	// Flash is the image of a squashfs with the program, which is the machine's disk then; it keeps nothing.
	Flash string
	*vm.Guest
}

// Program is the agent's.
func (n *Own) Program() string {
	if n.Flash != "" {
		return guest.FlashDir + "/wguplink"
	}
	return "/usr/bin/wguplink"
}

// Boot implements Node. The first time the disk is empty.
func (n *Own) Boot(ctx context.Context) error {
	if n.Flash != "" {
		n.Setup.Drive = n.Flash
		return n.boot(ctx)
	}
	n.Setup.Drive = filepath.Join(n.Dir, "node.disk")
	if _, err := os.Stat(n.Setup.Drive); errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.WriteFile(n.Setup.Drive, nil, 0o600),
			os.Truncate(n.Setup.Drive, diskSize)); err != nil {
			return fmt.Errorf("node's disk: %w", err)
		}
	}
	return n.boot(ctx)
}

func (n *Own) boot(ctx context.Context) error {
	program, args := n.Board.Command(n.Setup)
	g, err := vm.Boot(ctx, "node", program, args...)
	if g != nil {
		n.Guest = g
	}
	return err
}

// Agent implements Node.
func (n *Own) Agent(ctx context.Context, args ...string) (console.Reply, error) {
	return n.Do(ctx, append([]string{"run", n.Program()}, args...)...)
}

// Read implements Node.
func (n *Own) Read(ctx context.Context, name string) (string, error) { return n.Must(ctx, "cat", name) }

// Write implements Node.
func (n *Own) Write(ctx context.Context, name, text string) error {
	_, err := n.Must(ctx, "write", name, text)
	return err
}

// Now implements Node.
func (n *Own) Now(ctx context.Context) (time.Time, error) {
	out, err := n.Must(ctx, "date")
	if err != nil {
		return time.Time{}, err
	}
	s, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("node: date: %w", err)
	}
	return time.Unix(s, 0), nil
}

func (n *Own) service(ctx context.Context, verb string) error {
	_, err := n.Must(ctx, "service", verb)
	return err
}

// Start implements Node.
func (n *Own) Start(ctx context.Context) error { return n.service(ctx, "start") }

// Stop implements Node.
func (n *Own) Stop(ctx context.Context) error { return n.service(ctx, "stop") }

// Kill implements Node.
func (n *Own) Kill(ctx context.Context) error { return n.service(ctx, "kill") }

// Restart implements Node.
func (n *Own) Restart(ctx context.Context) error { return n.service(ctx, "restart") }

// Delete implements Node.
func (n *Own) Delete(ctx context.Context, device string) error {
	_, err := n.Must(ctx, "delete", device)
	return err
}

// Address implements Node.
func (n *Own) Address(ctx context.Context, device string, address netip.Prefix) error {
	_, err := n.Must(ctx, "address", device, address.String())
	return err
}

// PID implements Node.
func (n *Own) PID(ctx context.Context) (int, error) {
	out, err := n.Must(ctx, "service", "pid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// Reboot implements Node.
func (n *Own) Reboot(ctx context.Context) error {
	line, err := console.Request(0, []string{"reboot"})
	if err != nil {
		return err
	}
	if err := n.Send(line); err != nil {
		return err
	}
	if err := n.Exited(ctx); err != nil {
		return err
	}
	return n.boot(ctx)
}

// Originators implements Node.
func (n *Own) Originators(ctx context.Context, mesh string) (string, error) {
	return n.Must(ctx, "originators", mesh)
}

// Hard implements Node.
func (n *Own) Hard(ctx context.Context, device string) (string, error) {
	return n.Must(ctx, "hard", device)
}

// TakeFlows implements Node.
func (n *Own) TakeFlows(ctx context.Context) error {
	_, err := n.Must(ctx, "flows")
	return err
}

// Tail implements Node.
func (n *Own) Tail(lines int) string {
	if n.Guest == nil {
		return notStarted
	}
	return n.VM.Tail(lines)
}

// notStarted stands for the console of a machine that never was.
const notStarted = "node | not started"

// Off implements Node.
func (n *Own) Off() {
	if n.Guest != nil {
		n.VM.Kill()
	}
}
