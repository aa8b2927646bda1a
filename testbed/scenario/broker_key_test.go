package scenario

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

var brokerKeyOption = regexp.MustCompile(`option private_key '([A-Za-z0-9+/]{43}=)'`)

// brokerPrivate is the private key that the agent keeps in its configuration.
func brokerPrivate(s *scene) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.agent.Dir, "wguplink"))
	s.must(err)
	m := brokerKeyOption.FindSubmatch(b)
	if m == nil {
		s.t.Fatalf("no private key in the configuration:\n%s", b)
	}
	return string(m[1])
}

// The gateways lose all keys, as after a flush: the node registers again by itself.
func TestBrokerKeyForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		gateways int
		uci      func(*topology.Topology) string
	}{
		{"one gateway", 1, brokerOnly},
		{"list of three", 3, withBroker},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{Gateways: c.gateways}, c.uci)
			l2 := s.frames()
			s.reply(l2, s.start())
			before := s.Broker.Counts().V2
			s.must(s.Forget())
			forgotten := time.Now()
			took := s.reply(l2, forgotten).At.Sub(forgotten)
			t.Logf("back after %v", took.Round(time.Millisecond))
			if n := s.Broker.Counts().V2; n <= before {
				t.Errorf("%d registrations before, %d after: who told the gateways?", before, n)
			}
			if strings.Count(strings.Join(s.agent.Lines(), "\n"), "wguplink starts") != 1 {
				t.Error("the agent started anew")
			}
		})
	}
}

// The private key appears in nothing that the agent says, writes outside its place, or sends, from the first start to
// the end, with all that happens in between.
func TestBrokerPrivateKeyNeverShown(t *testing.T) {
	t.Parallel()
	// The gateway without an address is something to tell of at that level.
	debug := "config global\n\toption log_level 'debug'\n\n" +
		"config gateway 'nowhere'\n\toption uplink 'mesh'\n\toption public_key " +
		"'bm9ib2R5IGhhcyB0aGlzIGtleSwgdHJ1c3QgbWUgOi0='\n" +
		"\tlist endpoint 'nowhere.example.org:51820'\n\toption link_address 'fe80::bad'\n"
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		return brokerConfig(topo, brokerOptions{"backend": {"userspace"}}, debug, topo.Sections())
	})
	var said []string // with its origin in front
	say := func(where, what string) { said = append(said, where+": "+what) }
	collect := func() {
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"key", "show"}, {"config", "check"}} {
			out, _, err := s.agent.Run(s.ctx, args...)
			s.must(err)
			say(strings.Join(args, " "), out)
		}
		s.must(s.Node.Inside(func() error { return brokerFiles(say, "/var/run/wguplink", "/etc/wguplink", "/tmp") }))
		brokerProcesses(say)
	}

	// The first requests fail, so that errors are told of, too.
	s.Broker.SetFaults(httpfault.Status(500))
	l2 := s.frames()
	s.start()
	s.line("registration failed")
	s.line("gateway cannot be tried")
	private := brokerPrivate(s)
	public, ok := s.agent.Key(s.ctx)
	if !ok {
		t.Fatal("no key")
	}
	collect()
	mended := time.Now()
	s.Broker.SetFaults(httpfault.Fault{})
	first := s.reply(l2, mended).Gateway
	collect()

	s.must(s.Named(first).Kill())
	_, err := l2.Await(s.ctx, time.Now(), topology.NotFrom(first))
	s.must(err)
	collect()

	good := brokerConfig(s.Topology, brokerOptions{"keepalive": {"20"}, "private_key": {private},
		"backend": {"userspace"}}, debug, s.Sections())
	s.must(s.agent.Configure(strings.Replace(good, "option private_key",
		"option keepalive 'never'\n\toption privatekey", 1)))
	s.must(s.agent.Signal(unix.SIGHUP))
	s.line("privatekey") // named, without its value
	collect()
	s.must(s.agent.Configure(good))
	s.must(s.agent.Signal(unix.SIGHUP))
	s.line("configuration changed")
	s.reply(l2, time.Now())
	collect()
	// A key with one character too many is a mistake that wants to be shown, but not with the key.
	s.must(s.agent.Configure(strings.Replace(good, private, private+"=", 1)))
	collect()
	s.must(s.agent.Configure(good))
	s.must(s.agent.TakeDown(s.ctx))
	collect()
	for _, l := range s.agent.Lines() {
		say("output", l)
	}
	for _, r := range s.Broker.Requests() {
		say("request", fmt.Sprint(r.Path, r.Header, string(r.Body)))
	}

	raw, err := base64.StdEncoding.DecodeString(private)
	s.must(err)
	all := strings.Join(said, "\n")
	for _, needle := range []string{private, strings.TrimRight(private, "="), base64.URLEncoding.EncodeToString(raw),
		hex.EncodeToString(raw), string(raw),
		fmt.Sprint(raw), strings.Trim(strings.ReplaceAll(fmt.Sprint(raw), " ", ","), "[]")} {
		if !strings.Contains(strings.ToLower(all), strings.ToLower(needle)) {
			continue
		}
		for _, line := range said {
			if strings.Contains(strings.ToLower(line), strings.ToLower(needle)) {
				t.Errorf("the private key is in %.400s", line)
			}
		}
	}
	// What was looked through is what it should be.
	for _, want := range []string{"key show: " + public.String(), "output: ", "level=DEBUG", "request: " + wgkex.PathV2,
		"/var/run/wguplink/mesh.json: ",
		"/var/run/wguplink/mesh.gateway: ", "wireguard-go\x00wg_mesh", "private_key", "msg=stopped"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing that was looked through contains %q", want)
		}
	}
}

// brokerFiles reads all plain files below some folders.
func brokerFiles(say func(where, what string), dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // it went away, or is a socket
			}
			if b, err := os.ReadFile(path); err == nil {
				say(path, string(b))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// brokerProcesses reads what every process of the lab shows to all users.
func brokerProcesses(say func(where, what string)) {
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil {
				say(name, string(b))
			}
		}
	}
}
