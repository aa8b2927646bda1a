package luci

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/ubus"
	"wguplink/peerselector"
	"wguplink/testbed/luci/browser"
	"wguplink/testbed/luci/rpcd"
	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
	"wguplink/testbed/ubusd"
	"wguplink/testbed/vclock"
)

var (
	pictures = flag.String("pictures", "", "a folder for screenshots, such as docs/luci")
	real     = flag.String("luci", "", "a checkout of LuCI, to run the pages in instead of the stand-in, by hand")
)

const (
	feed      = "../../feed"
	binaryEnv = "WGUPLINK_LUCI_BINARY"
	madeEnv   = "WGUPLINK_LUCI_MADE"
)

// The outer process builds the agent, as in package scenario.
func TestMain(m *testing.M) {
	if os.Getenv(binaryEnv) == "" {
		dir, err := os.MkdirTemp("", "wguplink-luci-")
		if err == nil {
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "build the agent for the lab:", err)
			os.Exit(1)
		}
		os.Setenv(binaryEnv, filepath.Join(dir, "wguplink"))
		os.Setenv(madeEnv, dir)
	}
	netlab.Main(func() int {
		if dir := os.Getenv(madeEnv); dir != "" {
			defer os.RemoveAll(dir)
		}
		return m.Run()
	})
}

func build(dir string) error {
	plain := filepath.Join(dir, "plain")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "netgo,osusergo,userspace", "-o", plain, "./agent")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return vclock.Prepare(plain, filepath.Join(dir, "wguplink"))
}

// Sessions of the web server.
const (
	admin    = "00000000000000000000000000000001"
	reader   = "00000000000000000000000000000002"
	stranger = "00000000000000000000000000000003"
)

// limit bounds one test.
const limit = 2 * time.Minute

// router is a node of the lab with an agent, a web server and a browser.
type router struct {
	*topology.Topology
	t     *testing.T
	ctx   context.Context
	agent *topology.Agent
	key   wgtypes.Key
	site  *Site
	url   string
	b     *browser.Browser

	mu      sync.Mutex
	served  bytes.Buffer // every byte that the web server has sent
	changed int          // how often procd was told of the configuration
	configs int          // how often the program was started to say the configuration
}

// newRouter makes a topology of two gateways, whose agent is not started yet, and a browser whose page is in that
// language.
func newRouter(t *testing.T, language string) *router {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit,
		fmt.Errorf("the test took longer than %v", limit))
	t.Cleanup(cancel)
	dir := t.TempDir()
	topo, err := topology.New(topology.Options{Gateways: 2}, dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &router{Topology: topo, t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() && r.agent != nil && r.agent.Process != nil {
			t.Logf("the agent said:\n%s", strings.Join(r.agent.Lines(), "\n"))
		}
		if err := topo.Close(); err != nil {
			t.Error(err)
		}
	})
	topo.Clock().SetSynchronised(true)
	if r.key, err = wgtypes.GeneratePrivateKey(); err != nil {
		t.Fatal(err)
	}
	options := topo.StaticOptions()
	options["private_key"] = []string{r.key.String()}
	if r.agent, err = topo.NewAgent(os.Getenv(binaryEnv), dir, topology.UCI(options, topo.Sections())); err != nil {
		t.Fatal(err)
	}
	for _, g := range topo.Gateways {
		r.must(g.AddKey(peerselector.Key(r.key.PublicKey())))
	}
	r.procd()
	r.serve()
	r.b, err = browser.Start(ctx, language, r.startBeside)
	r.must(err)
	t.Cleanup(func() {
		for _, e := range r.b.Errors() {
			t.Errorf("the page said: %s", e)
		}
		if err := r.b.Close(); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if bytes.Contains(r.served.Bytes(), []byte(r.key.String())) {
			t.Error("the web server told the private key")
		}
	})
	return r
}

// startBeside starts a program of the machine in the node's network, but with the machine's files, which the browser
// needs.
func (r *router) startBeside(c *exec.Cmd) error {
	var network *os.File
	err := r.Node.Inside(func() (err error) {
		network, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return err
	}
	defer network.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = c.Start()
		}
		done <- err
	}()
	return <-done
}

func (r *router) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// procd is the object "service" on ubus: told of a change of the configuration, it has the agent read it, as the start
// script does (procd_add_reload_trigger).
func (r *router) procd() {
	// The daemon is heard in a folder of the lab, too: the node's is out of sight from here.
	socket := filepath.Join(r.t.TempDir(), "ubus.sock")
	ln, err := ubusd.Listen(socket)
	r.must(err)
	s := ubus.NewServer(socket, ubus.Object{Name: "service", Methods: []ubus.Method{{
		Name: "event", Args: []ubus.Arg{{Name: "type", Type: ubus.TypeString}, {Name: "data", Type: ubus.TypeTable}},
		Handle: func(_ context.Context, args ubus.Table) (ubus.Table, error) {
			what, _ := args.String("type")
			data, _ := args.Table("data")
			if name, _ := data.String("package"); what != "config.change" || name != "wguplink" {
				return nil, fmt.Errorf("an event of no use: %+v", args)
			}
			r.mu.Lock()
			r.changed++
			r.mu.Unlock()
			if r.agent.Process != nil && r.agent.State() == nil {
				return nil, r.agent.Signal(hangUp)
			}
			return nil, nil
		},
	}}})
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- r.Ubus.Serve(ctx, ln) }()
	r.t.Cleanup(func() { cancel(); <-done; <-done })
	r.must(r.Ubus.Await(r.ctx, "service"))
}

// serve starts the web server on the node's loopback.
func (r *router) serve() {
	acl := rpcd.Access{}
	dirs, err := filepath.Glob(filepath.Join(feed, "luci-*/root/usr/share/rpcd/acl.d"))
	r.must(err)
	for _, dir := range dirs {
		one, err := rpcd.Load(os.DirFS(dir))
		r.must(err)
		for group, access := range one {
			acl[group] = access
		}
	}
	server := &rpcd.Server{
		Access: acl,
		Sessions: map[string]rpcd.Session{
			admin:    {"luci-app-wguplink": true, "luci-proto-wguplink": true},
			reader:   {"luci-app-wguplink": false, "luci-proto-wguplink": false},
			stranger: {},
		},
		Plugins: map[string]func(context.Context, []string, []byte) ([]byte, error){"luci.wguplink": r.plugin},
		Call:    r.UbusCall,
	}
	site := &Site{Feed: feed, Base: StandIn(), Ubus: server, Readonly: map[string]bool{reader: true}}
	r.site = site
	if *real != "" {
		r.realLuCI(server)
	}
	var ln net.Listener
	r.must(r.Node.Inside(func() (err error) {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		site.ServeHTTP(recorder{w, r}, req)
	})}
	done := make(chan error, 1)
	go func() { done <- web.Serve(ln) }()
	r.t.Cleanup(func() { web.Close(); <-done })
	r.url = "http://" + ln.Addr().String() + "/cgi-bin/luci/"
}

// recorder keeps what the web server sends.
type recorder struct {
	http.ResponseWriter
	r *router
}

func (w recorder) Write(b []byte) (int, error) {
	w.r.mu.Lock()
	w.r.served.Write(b)
	w.r.mu.Unlock()
	return w.ResponseWriter.Write(b)
}

// plugin runs the program as rpcd runs the plug-in; /usr/libexec/rpcd/luci.wguplink passes the arguments on.
func (r *router) plugin(ctx context.Context, args []string, input []byte) ([]byte, error) {
	if args[len(args)-1] == "config" {
		r.mu.Lock()
		r.configs++
		r.mu.Unlock()
	}
	p, err := r.Node.Start(netlab.Command{Path: r.agent.Binary,
		Args: append([]string{"luci"}, args...), Config: r.agent.Dir,
		Under: []string{"/bin/sh", "-c", `printf %s "$0" | "$@" 2>/dev/null`, string(input)}})
	if err != nil {
		return nil, err
	}
	if err := p.Wait(ctx); err != nil {
		return nil, err
	}
	return []byte(strings.Join(p.Lines(), "\n")), nil
}

// open shows a page of the menu.
func (r *router) open(session, language, page string) {
	r.t.Helper()
	r.must(r.b.Open(r.ctx, r.url+page+"?session="+session+"&lang="+language))
}

// until waits until an expression of the page is true.
func (r *router) until(expression string) {
	r.t.Helper()
	r.must(r.b.Until(r.ctx, expression))
}

// click clicks what a selector finds.
func (r *router) click(selector string) {
	r.t.Helper()
	r.until("document.querySelector(" + quote(selector) + ")")
	r.must(r.b.Eval(r.ctx, "document.querySelector("+quote(selector)+").click()", nil))
}

// enter gives a form's field another value, as typing does.
func (r *router) enter(section, option, value string) {
	r.t.Helper()
	field := field(section, option) + " :is(input:not([type=hidden]), select)"
	r.until("document.querySelector(" + quote(field) + ")")
	r.must(r.b.Eval(r.ctx, `(() => {
		const f = document.querySelector(`+quote(field)+`);
		f.focus();
		f.value = `+quote(value)+`;
		for (const type of ['input', 'keyup', 'change', 'blur'])
			f.dispatchEvent(new Event(type, { bubbles: type != 'blur' }));
	})()`, nil))
}

func field(section, option string) string {
	return fmt.Sprintf(`[data-section-id="%s"] .cbi-value[data-name="%s"]`, section, option)
}

func quote(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return string(raw)
}

// picture keeps a screenshot where -pictures wants them.
func (r *router) picture(name string) {
	r.t.Helper()
	if *pictures == "" {
		return
	}
	shot, err := r.b.Screenshot(r.ctx)
	r.must(err)
	r.must(os.MkdirAll(*pictures, 0o755))
	r.must(os.WriteFile(filepath.Join(*pictures, name+".png"), shot, 0o644))
}

// call asks the web server as a page of that session does, and gives the code of the JSON-RPC error, or that of ubus.
func (r *router) call(session, object, method, args string) (refused int, code int, data string) {
	r.t.Helper()
	var answer struct {
		Error  *struct{ Code int }
		Result []json.RawMessage
	}
	var raw string
	r.must(r.b.Eval(r.ctx,
		`fetch('/ubus/', { method: 'POST', body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'call',
		params: [ `+quote(session)+`, `+quote(object)+`, `+quote(method)+`, `+args+` ] }) }).then((r) => r.text())`, &raw))
	r.must(json.Unmarshal([]byte(raw), &answer))
	if answer.Error != nil {
		return answer.Error.Code, 0, raw
	}
	r.must(json.Unmarshal(answer.Result[0], &code))
	return 0, code, raw
}

// file is the node's /etc/config/wguplink.
func (r *router) file() string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.agent.Dir, "wguplink"))
	r.must(err)
	return string(b)
}

func jsonTo(text string, to any) error { return json.Unmarshal([]byte(text), to) }
