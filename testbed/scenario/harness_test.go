package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
	"wguplink/testbed/vclock"
)

// The outer process, which has the machine's package cache, builds the agent and hands its path to the inner one. A
// caller may name one instead: the userspace variant, from vclock.Prepare.
const (
	binaryEnv = "WGUPLINK_LAB_BINARY"
	madeEnv   = "WGUPLINK_LAB_MADE"  // the folder to remove in the end
	toolsEnv  = "WGUPLINK_LAB_TOOLS" // a folder with uci and wguplink, for what runs in a chroot
)

func TestMain(m *testing.M) {
	if os.Getenv(madeEnv) == "" {
		dir, err := os.MkdirTemp("", "wguplink-scenario-")
		if err == nil {
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "build the agent for the lab:", err)
			os.Exit(1)
		}
		if os.Getenv(binaryEnv) == "" {
			os.Setenv(binaryEnv, filepath.Join(dir, "wguplink"))
		}
		os.Setenv(madeEnv, dir)
		os.Setenv(toolsEnv, filepath.Join(dir, "tools"))
	}
	netlab.Main(func() int {
		if dir := os.Getenv(madeEnv); dir != "" {
			defer os.RemoveAll(dir)
		}
		return m.Run()
	})
}

// build makes the userspace variant, able to run under a clock of its own, unless the caller has named a program; and
// the tools.
func build(dir string) error {
	plain := filepath.Join(dir, "tools/wguplink")
	for _, b := range []struct{ folder, out, tags, program string }{
		{"../..", plain, "netgo,osusergo,userspace", "./agent"},
		{"..", filepath.Join(dir, "tools/uci"), "", "./cmd/uci"},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", b.tags, "-o", b.out, b.program)
		cmd.Dir = b.folder
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", b.program, err, out)
		}
	}
	if os.Getenv(binaryEnv) != "" {
		return nil
	}
	return vclock.Prepare(plain, filepath.Join(dir, "wguplink"))
}

// scene is a topology with an agent that is not started yet.
type scene struct {
	*topology.Topology
	t     *testing.T
	ctx   context.Context
	agent *topology.Agent
	dir   string
}

// limit bounds one scenario; every wait in it ends with it. How long a thing takes is measured in package measure, not
// here.
const limit = 2 * time.Minute

// newScene makes a topology; uci gives the node's configuration once the topology is known.
func newScene(t *testing.T, o topology.Options, uci func(*topology.Topology) string) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit,
		fmt.Errorf("the scenario took longer than %v", limit))
	dir := t.TempDir()
	topo, err := topology.New(o, dir)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := &scene{Topology: topo, t: t, ctx: ctx, dir: dir}
	t.Cleanup(func() {
		if t.Failed() && s.agent != nil && s.agent.Process != nil {
			t.Logf("the agent said:\n%s", strings.Join(s.agent.Lines(), "\n"))
		}
		if err := topo.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	s.Clock().SetSynchronised(true)
	if s.agent, err = topo.NewAgent(os.Getenv(binaryEnv), dir, uci(topo)); err != nil {
		t.Fatal(err)
	}
	return s
}

// withBroker is the usual configuration: a broker, and the static list as fallback.
func withBroker(topo *topology.Topology) string {
	return topology.UCI(topo.BrokerOptions(), topo.Sections())
}

// brokerOnly has no static gateways.
func brokerOnly(topo *topology.Topology) string { return topology.UCI(topo.BrokerOptions()) }

// start starts the agent and gives the moment.
func (s *scene) start() time.Time {
	s.t.Helper()
	at := time.Now()
	if err := s.agent.Start(); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// must ends the test on an error.
func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// frames starts sending frames into the mesh, one each 20 ms.
func (s *scene) frames() *topology.Layer2 {
	l := s.Layer2("mesh-vpn", 20*time.Millisecond)
	s.t.Cleanup(l.Close)
	return l
}

// reply waits for the first answer to a frame sent after a moment.
func (s *scene) reply(l *topology.Layer2, after time.Time) topology.Reply {
	s.t.Helper()
	r, err := l.Await(s.ctx, after, nil)
	s.must(err)
	return r
}

// status is the agent's, as `wguplink status --json` prints it.
func (s *scene) status() topology.Status {
	s.t.Helper()
	st, err := s.agent.Status(s.ctx)
	s.must(err)
	return st
}

// line waits for a line of the agent's output with that text.
func (s *scene) line(text string) string {
	s.t.Helper()
	l, err := s.agent.WaitLine(s.ctx, text)
	s.must(err)
	return l
}
