package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink"

	"wguplink/agent/batman"
	"wguplink/testbed/cputime"
	"wguplink/testbed/flow"
	"wguplink/testbed/qemu/console"
)

// runTime bounds a program that is run for its output.
const runTime = 7 * time.Minute

// machine takes the commands of the node.
type machine struct {
	c     Config
	agent *service
}

func (m *machine) handle(words []string) console.Reply {
	args := words[1:]
	if want, ok := map[string]int{"cat": 1, "write": 2, "date": 0, "reboot": 0, "originators": 1, "hard": 1,
		"service": 1, "test": 1, "cached": 1, "load": 1, "cpu": 1, "flows": 0, "delete": 1,
		"address": 2}[words[0]]; ok && len(args) != want {
		return console.Reply{Code: 2, Out: fmt.Sprintf("%s takes %d words", words[0], want)}
	}
	switch words[0] {
	case "run":
		return run("/", args)
	case "test":
		// A package's tests, in a folder with their data.
		return run(args[0], []string{args[0] + "/test", "-test.v"})
	case "cat":
		b, err := os.ReadFile(args[0])
		return reply(string(b), err)
	case "write":
		err := os.MkdirAll(filepath.Dir(args[0]), 0o755)
		if err == nil {
			err = os.WriteFile(args[0], []byte(args[1]), 0o600)
		}
		return reply("", err)
	case "cached":
		return reply(cached(args[0]))
	case "load":
		return reply("", loadFile(args[0]))
	case "cpu":
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return console.Failed(err)
		}
		spent, err := cputime.Of(pid)
		return reply(spent.String(), err)
	case "date":
		return reply(strconv.FormatInt(time.Now().Unix(), 10), nil)
	case "reboot":
		return reply("", m.reboot())
	case "originators":
		return reply(Originators(args[0]))
	case "hard":
		return reply(hard(args[0]))
	case "service":
		return m.service(args[0])
	case "delete":
		link, err := netlink.LinkByName(args[0])
		if err == nil {
			err = netlink.LinkDel(link)
		}
		return reply("", err)
	case "address":
		p, err := netip.ParsePrefix(args[1])
		if err == nil {
			err = up(args[0], p)
		}
		return reply("", err)
	case "flows":
		// From now on flows are taken, until the machine ends.
		ln, err := net.Listen("tcp6", fmt.Sprintf(":%d", flow.Port))
		if err == nil {
			go flow.Serve(context.Background(), ln, "node")
		}
		return reply("", err)
	}
	return console.Reply{Code: 127, Out: "no command " + words[0]}
}

func reply(out string, err error) console.Reply {
	if err != nil {
		return console.Failed(err)
	}
	return console.Reply{Out: out}
}

// run runs a program in a folder and gives its output, standard error in between, and its exit code.
func run(dir string, argv []string) console.Reply {
	if len(argv) == 0 {
		return console.Reply{Code: 2, Out: "run what?"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && ctx.Err() == nil {
		if e.ExitCode() < 0 { // a signal, such as from a kernel that is out of memory
			out = append(out, e.String()...)
		}
		return console.Reply{Code: max(1, e.ExitCode()), Out: string(out)}
	}
	return reply(string(out), err)
}

func (m *machine) service(verb string) console.Reply {
	if m.agent == nil {
		return console.Reply{Code: 1, Out: "this machine has no agent"}
	}
	switch verb {
	case "start":
		return reply("", m.agent.Start())
	case "stop":
		return reply("", m.agent.Stop())
	case "restart":
		return reply("", m.agent.Restart())
	case "kill":
		pid, err := m.agent.Kill()
		return reply(strconv.Itoa(pid), err)
	case "pid":
		pid, err := m.agent.PID()
		return reply(strconv.Itoa(pid), err)
	}
	return console.Reply{Code: 2, Out: "start, stop, restart, kill or pid"}
}

// reboot stops the agent, keeps /etc, and restarts the machine.
func (m *machine) reboot() error {
	if m.agent != nil {
		if err := m.agent.Stop(); err != nil {
			return err
		}
	}
	if m.c.Disk != "" {
		if err := save("/etc", m.c.Disk); err != nil {
			return err
		}
	}
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// Originators lists a mesh interface's originators as JSON.
func Originators(mesh string) (string, error) {
	link, err := netlink.LinkByName(mesh)
	if err != nil {
		return "", err
	}
	return withBatman(func(c *batman.Client) (any, error) { return c.Originators(link.Attrs().Index) })
}

// hard gives what a hard-interface is set to as JSON.
func hard(name string) (string, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return "", err
	}
	return withBatman(func(c *batman.Client) (any, error) {
		return c.Hard(link.Attrs().MasterIndex, link.Attrs().Index)
	})
}

func withBatman(f func(*batman.Client) (any, error)) (string, error) {
	c, err := batman.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	v, err := f(c)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(v)
	return string(b), err
}
