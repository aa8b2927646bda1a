package ffac

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wguplink/peerselector"

	"wguplink/testbed/httpfault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodeKey = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="

// post gives the status, the content type and the text of an answer.
func post(s *Server, body string) string {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/register", strings.NewReader(body)))
	return fmt.Sprintf("%d %s", w.Code, strings.TrimSpace(w.Body.String()))
}

func register(name, key string) string {
	return fmt.Sprintf(`{"node_name": %q, "public_key": %q}`, name, key)
}

func TestRegister(t *testing.T) {
	const otherKey = "o52GLDRtjoS5Sc3HZ94cJ8lHyWoYwn4lCbVrzAIYqQE="
	for form, wrap := range map[Form]func(string) string{
		Messages: func(s string) string { return fmt.Sprintf(`200 {"Message":%q}`, s) },
		Memory:   func(s string) string { return fmt.Sprintf(`200 {"Message":%q}`, s) },
		Texts:    func(s string) string { return "400 " + s },
	} {
		t.Run(form.String(), func(t *testing.T) {
			var learned []string
			s := New(func(r Registration) error {
				learned = append(learned, r.NodeName)
				if r.NodeName == "bad" {
					return errors.New("gateway is down")
				}
				return nil
			})
			s.SetForm(form)
			const good = `200 {"Message":"OK"}`
			for _, tt := range [][2]string{
				{register("node", nodeKey), good},
				{register("node", nodeKey), wrap("Error adding key: node_o52g already exists")},
				{register("NODE", otherKey), wrap("Error adding key: node_o52g already exists")},
				{register("renamed", nodeKey), good},
				{register("bad", nodeKey), "500 gateway is down"},
				{register("bad", nodeKey), "500 gateway is down"},
				{register("", nodeKey), wrap("Error adding key: node_name missing")},
				{register("n", "AAAA"), wrap("Error adding key: Not a valid Wireguard public key: AAAA.")},
				{`{"node_name": "n"}`, wrap("Error adding key: Not a valid Wireguard public key: .")},
				{"{", "400 no JSON"},
				{"", "400 no JSON"},
				{`{"x": "` + strings.Repeat("x", maxBody) + `"}`, "400 no JSON"},
			} {
				if got := post(s, tt[0]); got != tt[1] {
					t.Errorf("%.80s: %s, want %s", tt[0], got, tt[1])
				}
			}
			s.Restart()
			want := wrap("Error adding key: node_o52g already exists")
			if form == Memory {
				want = good
			}
			if got := post(s, register("node", nodeKey)); got != want {
				t.Errorf("after a restart: %s, want %s", got, want)
			}
			if n := len(s.Registrations()); n != strings.Count(strings.Join(learned, " "), "node")+1 ||
				s.Asked() != 13 {
				t.Errorf("%d registrations, learned %q, asked %d times", n, learned, s.Asked())
			}
		})
	}
}

func TestFaults(t *testing.T) {
	s := New(func(Registration) error { return nil })
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/register", nil))
	if w.Code != 405 {
		t.Errorf("GET: status %d", w.Code)
	}
	s.SetFault(httpfault.Status(503))
	if got := post(s, register("n", nodeKey)); got != "503 Service Unavailable" {
		t.Errorf("with a fault: %s", got)
	}
	s.SetFault(httpfault.Fault{})
	if got := post(s, register("n", nodeKey)); got != `200 {"Message":"OK"}` {
		t.Errorf("again: %s", got)
	}
	var key peerselector.Key
	if err := key.UnmarshalText([]byte(nodeKey)); err != nil {
		t.Fatal(err)
	}
	if all := s.Registrations(); len(all) != 1 || all[0] != (Registration{"n", key, "192.0.2.1:1234"}) {
		t.Errorf("%+v", all)
	}
}
