package ffac

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wguplink/peerselector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodeKey = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="

func post(s *Server, body string) int {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/register", strings.NewReader(body)))
	return w.Code
}

func TestRegister(t *testing.T) {
	var learned []string
	s := New(func(r Registration) error {
		learned = append(learned, r.NodeName)
		if r.NodeName == "bad" {
			return errors.New("gateway is down")
		}
		return nil
	})
	const good = `{"node_name": "node", "public_key": "` + nodeKey + `"}`
	for body, want := range map[string]int{
		good: 200,
		`{"node_name": "bad", "public_key": "` + nodeKey + `"}`: 500,
		`{"node_name": "", "public_key": "` + nodeKey + `"}`:    400,
		`{"node_name": "n", "public_key": "AAAA"}`:              400,
		`{"node_name": "n"}`:                                    400,
		`{`:                                                     400,
		"":                                                      400,
		`{"x": "` + strings.Repeat("x", maxBody) + `", "node_name": "n", "public_key": "` + nodeKey + `"}`: 400,
	} {
		if got := post(s, body); got != want {
			t.Errorf("%.80s: status %d, want %d", body, got, want)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/register", nil))
	if w.Code != 405 {
		t.Errorf("GET: status %d", w.Code)
	}
	s.SetFault(Status(503))
	if got := post(s, good); got != 503 {
		t.Errorf("with a fault: status %d", got)
	}
	s.SetFault(Fault{})
	if got := post(s, good); got != 200 {
		t.Errorf("again: status %d", got)
	}
	var key peerselector.Key
	if err := key.UnmarshalText([]byte(nodeKey)); err != nil {
		t.Fatal(err)
	}
	all := s.Registrations()
	if len(all) != 2 || all[0] != (Registration{"node", key, "192.0.2.1:1234"}) || all[1] != all[0] || len(learned) != 3 || s.Asked() != 11 {
		t.Errorf("%+v; learned %q; %d requests", all, learned, s.Asked())
	}
}

func TestHang(t *testing.T) {
	s := New(func(Registration) error { return nil })
	s.SetFault(Hang())
	srv := httptest.NewServer(s)
	defer srv.Close()
	done := make(chan error)
	go func() {
		r, err := srv.Client().Post(srv.URL, "application/json", strings.NewReader("{}"))
		if err == nil {
			r.Body.Close()
		}
		done <- err
	}()
	s.Close() // whether the request has come yet or not
	if <-done == nil {
		t.Error("silence has an answer")
	}
	srv.Client().CloseIdleConnections()
}
