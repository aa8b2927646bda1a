package luci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"wguplink/agent/ubus"
	"wguplink/testbed/luci/rpcd"
)

const hangUp = syscall.SIGHUP

const (
	statusPage = "admin/services/wguplink/status"
	configPage = "admin/services/wguplink/config"
)

const state = `document.querySelector('[data-uplink="mesh"] .wguplink-state')?.dataset.state`

// gateway waits until the page names a gateway, other than the one given, as in use.
func (r *router) gateway(not string) string {
	r.t.Helper()
	names := []string{}
	for _, g := range r.Gateways {
		if g.Name != not {
			names = append(names, g.Name)
		}
	}
	raw, err := json.Marshal(names)
	r.must(err)
	find := string(raw) +
		`.find((name) => [...document.querySelectorAll('[data-uplink="mesh"] .table:first-of-type td')].some((d) => d.textContent === name))`
	r.until(state + ` == 'connected' && ` + find)
	var name string
	r.must(r.b.Eval(r.ctx, find, &name))
	return name
}

// The overview shows what the agent does, by itself; the buttons do what they say; the doctor's findings are on the
// page.
func TestOverview(t *testing.T) {
	r := newRouter(t, "en")
	r.open(admin, "en", statusPage)
	r.until(`document.querySelector('#wguplink-absent') && ` + state + ` == 'stopped'`)

	r.must(r.agent.Start())
	first := r.gateway("")
	r.picture("overview")

	// Another user's switch is seen, too.
	out, code, err := r.agent.Run(r.ctx, "reconnect")
	if err != nil || code != 0 {
		t.Fatalf("reconnect: %d, %v: %s", code, err, out)
	}
	second := r.gateway(first)
	r.click(".wguplink-reconnect")
	r.until(`document.querySelector('.wguplink-reconnected')?.textContent.includes(` + quote(first) + `)`)
	if third := r.gateway(second); third != first {
		t.Errorf("%s, want %s", third, first)
	}

	r.click("#wguplink-doctor")
	r.until(`document.querySelectorAll('.wguplink-examined [data-outcome]').length == 10`)
	r.picture("doctor")
	var exit string
	r.must(r.b.Eval(r.ctx, `document.querySelector('.wguplink-examined').dataset.exitCode`, &exit))
	if exit != "0" {
		var text string
		r.must(r.b.Eval(r.ctx, `document.querySelector('#wguplink-findings').innerText`, &text))
		t.Errorf("exit code %s:\n%s", exit, text)
	}

	r.must(r.agent.Stop(r.ctx))
	r.until(`document.querySelector('#wguplink-absent') && ` + state + ` == 'stopped'`)

	// All of that the page has seen by asking the agent. The program was started to say the configuration when the page
	// was opened, and after the click.
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.configs != 2 {
		t.Errorf("the program was started %d times to say the configuration, want 2", r.configs)
	}
}

// The form writes what was changed, and nothing else; what would be wrong is refused, and said.
func TestForm(t *testing.T) {
	r := newRouter(t, "en")
	r.must(r.agent.Start())
	r.open(admin, "en", configPage)
	r.until(`document.querySelector(` + quote(field("mesh", "protocol")) + `)`)
	r.picture("configuration")

	// Every option of the table but the key is there.
	var names []string
	r.must(r.b.Eval(r.ctx,
		`[...document.querySelectorAll('[data-section-id="mesh"] .cbi-value')].map((n) => n.dataset.name)`, &names))
	for _, name := range []string{"enabled", "broker", "mtu", "vxlan_id", "batman_hop_penalty",
		"key_file", "rebalance"} {
		if !slices.Contains(names, name) {
			t.Errorf("no field for %s among %q", name, names)
		}
	}
	if slices.Contains(names, "private_key") {
		t.Error("there is a field for the key")
	}

	before := r.file()
	save := ".cbi-button-save"
	r.enter("mesh", "mtu", "12")
	r.click(save)
	r.until(`document.querySelector('.modal')?.textContent.includes('1280')`)
	if r.file() != before {
		t.Errorf("a mistake was written:\n%s", r.file())
	}
	r.must(r.b.Eval(r.ctx, `L.require('ui').then((ui) => ui.hideModal())`, nil))

	// What only the agent's rules know is refused by them.
	r.open(admin, "en", configPage)
	r.enter("mesh", "vxlan_interface", "wg_mesh")
	r.click(save)
	r.until(`document.querySelector('.wguplink-refused')?.textContent.includes('already')`)
	if r.file() != before {
		t.Errorf("a mistake was written:\n%s", r.file())
	}

	r.open(admin, "en", configPage)
	r.enter("mesh", "mtu", "1390")
	r.enter("mesh", "rebalance", "daily")
	r.click(save)
	r.until(`document.querySelector('.wguplink-saved')`)
	after := r.file()
	for _, line := range []string{"\toption mtu '1390'\n", "\toption rebalance 'daily'\n",
		"\toption private_key '" + r.key.String() + "'\n"} {
		if !strings.Contains(after, line) {
			t.Errorf("no %q in\n%s", line, after)
		}
	}
	if kept := strings.NewReplacer("\toption mtu '1390'\n", "", "\toption rebalance 'daily'\n",
		"").Replace(after); len(kept) < len(strings.TrimSpace(before)) {
		t.Errorf("more has changed than was meant:\n%s\nbefore:\n%s", after, before)
	}
	r.mu.Lock()
	if r.changed != 1 {
		t.Errorf("procd was told %d times", r.changed)
	}
	r.mu.Unlock()
	_, err := r.agent.WaitLine(r.ctx, "configuration changed")
	r.must(err)

	// A gateway more, and another less.
	r.must(r.b.Eval(r.ctx, `document.querySelector('#cbi-json-gateway .cbi-section-create-name').value = 'spare'`, nil))
	r.must(r.b.Eval(r.ctx,
		`document.querySelector('#cbi-json-gateway .cbi-section-create-name').dispatchEvent(new Event('keyup'))`, nil))
	r.click("#cbi-json-gateway .cbi-section-create .cbi-button-add")
	r.enter("spare", "public_key", "TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g=")
	r.enter("spare", "link_address", "fe80::77")
	r.enter("spare", "endpoint", "192.0.2.77:51820")
	r.must(r.b.Eval(r.ctx, `document.querySelector(`+quote(field("spare", "endpoint")+" .cbi-button-add")+`)?.click()`,
		nil))
	r.click(save)
	r.until(`document.querySelectorAll('.wguplink-saved').length == 2`)
	if !strings.Contains(r.file(), "config gateway 'spare'") ||
		!strings.Contains(r.file(), "\tlist endpoint '192.0.2.77:51820'") {
		t.Errorf("no new gateway:\n%s", r.file())
	}
	r.click(`button[data-section-id="spare"]`)
	r.until(`!document.querySelector('[data-section-id="spare"]')`)
	r.click(save)
	r.until(`document.querySelectorAll('.wguplink-saved').length == 3`)
	if strings.Contains(r.file(), "spare") {
		t.Errorf("the gateway is still there:\n%s", r.file())
	}

	// An uplink is not deleted without a word, for its key goes with it.
	before = r.file()
	r.must(r.b.Eval(r.ctx, `window.confirm = (text) => { window.confirmed = text; return false; }`, nil))
	r.click(`button[data-section-id="mesh"]`)
	r.until(`!document.querySelector('[data-section-id="mesh"]')`)
	r.click(save)
	r.until(`window.confirmed?.includes('private key of mesh')`)
	if r.file() != before {
		t.Errorf("the uplink was deleted all the same:\n%s", r.file())
	}
	r.open(admin, "en", configPage)

	// What the protocol has no use for is hidden.
	hidden := func(option string) string {
		return `getComputedStyle(document.querySelector(` + quote(field("mesh", option)) + `)).display == 'none'`
	}
	r.until(hidden("domain"))
	r.enter("mesh", "protocol", "wgkex")
	r.until("!(" + hidden("domain") + ")")
	r.enter("mesh", "mode", "layer3")
	r.until(hidden("vxlan_id"))
}

// Each right is that of its ACL: reading, writing, and never the key.
func TestRights(t *testing.T) {
	r := newRouter(t, "en")
	r.must(r.agent.Start())
	r.open(admin, "en", statusPage)
	r.gateway("")
	const denied = -32002
	for _, tt := range []struct {
		object, method, args    string
		admin, reader, stranger bool
	}{
		{"wguplink", "status", "{}", true, true, false},
		{"wguplink", "reload", "{}", true, false, false},
		{"wguplink", "reconnect", `{"gateway":"none"}`, true, false, false},
		{"luci.wguplink", "config", "{}", true, true, false},
		{"luci.wguplink", "doctor", "{}", true, true, false},
		{"luci.wguplink", "apply", "{}", true, false, false},
		{"uci", "get", `{"config":"wguplink"}`, false, false, false},
		{"uci", "set", `{"config":"wguplink","section":"mesh","values":{"mtu":"1"}}`, false, false, false},
		{"uci", "rename", `{"config":"wguplink","section":"mesh","option":"private_key","name":"location"}`,
			false, false, false},
		{"file", "read", `{"path":"/etc/config/wguplink"}`, false, false, false},
		{"file", "exec", `{"command":"/usr/bin/wguplink","params":["key","show"]}`, false, false, false},
	} {
		for session, want := range map[string]bool{admin: tt.admin, reader: tt.reader, stranger: tt.stranger} {
			refused, code, data := r.call(session, tt.object, tt.method, tt.args)
			if (refused == 0) != want || refused != 0 && refused != denied {
				t.Errorf("session %s: %s %s: JSON-RPC error %d, ubus status %d", session, tt.object, tt.method,
					refused, code)
			}
			if strings.Contains(data, r.key.String()) {
				t.Errorf("%s %s tells the key: %s", tt.object, tt.method, data)
			}
		}
	}
	// No way around: the option is neither written nor moved, also by those who may write.
	before := r.file()
	for _, set := range []string{`{"private_key":"x"}`, `{"private_key":""}`, `{"location.x":"y"}`} {
		if _, code, data := r.call(admin, "luci.wguplink", "apply", `{"set":{"mesh":`+set+`}}`); code != 0 ||
			!strings.Contains(data, `"error"`) {
			t.Errorf("%s: %s", set, data)
		}
	}
	if r.file() != before {
		t.Errorf("the file has changed:\n%s", r.file())
	}
	// Who only reads gets pages without buttons that write.
	r.open(reader, "en", statusPage)
	r.gateway("")
	r.until(`!document.querySelector('.wguplink-reconnect') && !document.querySelector('#wguplink-reload')`)
	r.open(reader, "en", configPage)
	r.until(`document.querySelector(` + quote(field("mesh", "mtu")+" input") + `)?.disabled`)
}

func TestGerman(t *testing.T) {
	r := newRouter(t, "de")
	r.must(r.agent.Start())
	r.open(admin, "de", statusPage)
	r.gateway("")
	if *real == "" {
		r.until(
			`document.querySelector('h2').textContent == 'Mesh-Uplink' && document.body.innerText.includes('verbunden')`)
	}
	r.picture("overview-de")
	r.open(admin, "de", configPage)
	if *real == "" {
		r.until(`document.body.innerText.includes('Ob dieser Uplink laufen soll.')`)
	}
	r.until(`document.querySelector(` + quote(field("mesh", "protocol")) + `)`)
}

// netifd's protocol, as LuCI's page of network interfaces takes it.
func TestProtocol(t *testing.T) {
	r := newRouter(t, "en")
	r.must(r.agent.Start())
	r.open(admin, "en", statusPage)
	r.gateway("")
	var found struct {
		Floating, Virtual, Contains   bool
		Name, Package, Ifname, Uplink string
		Fields, Layers, Uplinks       []string
	}
	r.must(r.b.Eval(r.ctx, `(async () => {
		const network = await L.require('network'), form = await L.require('form');
		await L.require('protocol.wguplink');
		const proto = network.getProtocol('wguplink', 'mesh');
		proto._ubus = (field) => ({ l3_device: 'wg_mesh' })[field]; // what netifd says of the interface
		const map = new form.JSONMap({ interface: [ { '.name': 'mesh', uplink: 'mesh' } ] }, 'Interfaces');
		const s = map.section(form.TypedSection, 'interface');
		s.tab('general', 'General');
		proto.renderFormOptions(s);
		const node = document.querySelector('#maincontent').appendChild(await map.render());
		return { floating: proto.isFloating(), virtual: proto.isVirtual(), name: proto.getI18n(), package: proto.getPackageName(),
			ifname: proto.getIfname(), contains: proto.containsDevice('wg_mesh') && !proto.containsDevice('eth0'),
			fields: [...node.querySelectorAll('.cbi-value')].map((n) => n.dataset.name),
			layers: [...node.querySelectorAll('[data-name="layer"] option')].map((o) => o.value), uplinks: s.children[0].keylist };
	})()`, &found))
	if !found.Floating || !found.Virtual || found.Package != "wguplink" ||
		found.Ifname != "wg_mesh" || !found.Contains ||
		!slices.Equal(found.Fields, []string{"uplink", "layer"}) || !slices.Equal(found.Uplinks, []string{"mesh"}) ||
		!slices.Equal(found.Layers, []string{"", "wireguard", "vxlan"}) {
		t.Errorf("%+v", found)
	}
}

// An ACL grants what is there, and no more than the pages ask for.
func TestAccess(t *testing.T) {
	r := newRouter(t, "en")
	r.must(r.agent.Start())
	r.must(r.Ubus.Await(r.ctx, "wguplink"))
	r.open(admin, "en", statusPage)
	r.gateway("")
	acl := r.site.Ubus.(*rpcd.Server).Access
	for group, access := range acl {
		if access.Description == "" {
			t.Errorf("%s has no description", group)
		}
		if len(access.Read.UCI)+len(access.Write.UCI)+len(access.Read.File)+len(access.Write.File) > 0 {
			t.Errorf("%s grants more than ubus: a UCI package is read with its keys", group)
		}
		for _, grants := range []map[string][]string{access.Read.Ubus, access.Write.Ubus} {
			for object, methods := range grants {
				for _, method := range methods {
					if strings.ContainsAny(object+method, "*?[") {
						t.Errorf("%s grants %s %s: no pattern is needed", group, object, method)
					}
					args := map[string]string{"reconnect": `{"gateway":"none"}`}[method]
					if args == "" {
						args = "{}"
					}
					// 3 is "method not found", and 4 an object that is not there, but for reconnect: no such gateway.
					if _, code, data := r.call(admin, object, method, args); code == 3 || code == 4 &&
						method != "reconnect" {
						t.Errorf("%s grants %s %s, which is not there: %s", group, object, method, data)
					}
				}
			}
		}
	}
}

// All that a status can have is shown, always as text, and each gateway can be chosen.
func TestFields(t *testing.T) {
	r := newRouter(t, "en")
	const hostile = `<img src=x onerror=alert(1)>`
	asked := make(chan string, 1)
	server := r.site.Ubus.(*rpcd.Server)
	if server.Objects == nil {
		server.Objects = map[string]rpcd.Object{}
	}
	server.Objects["wguplink"] = func(_ context.Context, _ rpcd.Session, method string,
		args map[string]any) (any, ubus.Status) {
		if method == "reconnect" {
			asked <- fmt.Sprint(args["uplink"], " ", args["gateway"])
			return map[string]any{"error": "gw2 did not answer; in use is gw1"}, ubus.StatusUnknownError
		}
		return map[string]any{"uplinks": map[string]any{"mesh": map[string]any{
			"state": "suspect", "cause": "no_answer", "reason": "gw1 is silent " + hostile, "seconds": 3700,
			"interface": "wg_mesh",
			"gateway": map[string]any{"name": "gw1", "handshake_uptime_ms": 1, "handshake_age": 90000,
				"rx_bytes": 3 << 29, "tx_bytes": 1536},
			"gateways": []any{
				map[string]any{"name": "gw1", "in_use": true, "result": "silent", "rtt_us": 12345, "tried_uptime_ms": 1,
					"tried_age": 61},
				map[string]any{"name": "gw2", "result": "no_address", "reason": "no such name"},
			},
			"changes": []any{
				map[string]any{"state": "connected", "gateway": "gw1", "age": 4000},
				map[string]any{"state": "suspect", "cause": "no_answer", "gateway": "gw1", "age": 3700,
					"reason": hostile},
			},
			"batman": map[string]any{"interface": "bat0", "algorithm": "BATMAN_V",
				"neighbours": []any{"02:00:00:00:00:01"}},
			"network":  map[string]any{"tunnels": []any{map[string]any{"interface": "wg_c1", "gateway": "c1"}}},
			"warnings": []any{"mtu 1420 does not pass " + hostile},
		}}}, ubus.StatusOK
	}
	r.open(admin, "en", statusPage)
	for _, text := range []string{"suspect for 1 h 1 min", "nothing comes back through the tunnel: gw1 is silent " +
		hostile, "1 d 1 h ago", "1.5 GiB / 1.5 KiB",
		"in use, fell silent", "12.3 ms", "1 min 1 s ago", "no usable address: no such name", "1 h 6 min ago",
		"bat0, BATMAN_V: 1 neighbours", "wg_c1",
		"mtu 1420 does not pass " + hostile} {
		r.until(`document.body.innerText.includes(` + quote(text) + `)`)
	}
	r.until(`!document.querySelector('img')`)
	// The latest change stands first, and only the gateway that is not in use can be chosen.
	r.until(`document.body.innerText.indexOf('1 h 1 min ago') < document.body.innerText.indexOf('1 h 6 min ago')`)
	r.until(`document.querySelectorAll('[data-uplink="mesh"] td button').length == 1`)
	r.click(`[data-uplink="mesh"] td button`)
	if got := <-asked; got != "mesh gw2" {
		t.Errorf("reconnect was asked for %s", got)
	}
	r.until(`document.body.innerText.includes('gw2 did not answer')`)
}
