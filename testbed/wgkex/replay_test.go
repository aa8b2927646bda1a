package wgkex

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

const nodeKey = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="

// recorded is one entry of testdata/responses-main.txt: what was asked, in words, and the answer with its white space
// folded.
type recorded struct {
	name, status, contentType, body string
}

// readRecorded parses the recording. An entry is a line of name (35 columns), status, content type and body; the two
// entries with bodies of a megabyte have no content type.
func readRecorded(t *testing.T) []recorded {
	t.Helper()
	f, err := os.Open("testdata/responses-main.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^(.{34}) (\d{3}) (application/json |text/html; charset=utf-8 )?(.*)$`)
	var list []recorded
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if sc.Text() == "" {
			continue
		}
		m := line.FindStringSubmatch(sc.Text())
		if m == nil {
			t.Fatalf("line %q has an unknown form", sc.Text())
		}
		list = append(list, recorded{strings.TrimSpace(m[1]), m[2], strings.TrimSpace(m[3]), fold(m[4])})
	}
	return list
}

func fold(s string) string { return strings.Join(strings.Fields(s), " ") }

// The broker that was recorded: gw2 is the better one, one domain has no worker, one has a worker without data, and one
// is configured but lacks the prefix.
func recordedBroker() *Broker {
	b := New(Options{
		DomainPrefixes: []string{"ffxx_"},
		Domains:        []string{"ffxx_city", "ffxx_empty", "ffxx_nodata", "other_city"},
	})
	for name, peers := range map[string]int{"gw1": 100, "gw2": 0} {
		b.Hear(StatusMessage(name, true))
		b.Hear(PeersMessage("ffxx_city", name, peers))
	}
	b.Hear(DataMessage("ffxx_city", "gw1", WorkerData{ExternalAddress: "gw1.example.org", Port: 40001,
		LinkAddress: "fe80::1"}))
	b.Hear(DataMessage("ffxx_city", "gw2", WorkerData{ExternalAddress: "gw2.example.org", Port: 40002,
		LinkAddress: "fe80::2",
		PublicKey:   "XjwaieDeh0juVAndkNHHDebreMYuuCTQ+oEy91bX5nI="}))
	b.Hear(StatusMessage("gw3", true))
	b.Hear(PeersMessage("ffxx_nodata", "gw3", 0))
	return b
}

func TestReplay(t *testing.T) {
	body := func(kv ...string) string {
		s := `"public_key": "` + nodeKey + `", "domain": "ffxx_city"`
		for i := 0; i < len(kv); i += 2 {
			s = strings.Replace(s, kv[i], kv[i+1], 1)
		}
		return "{" + s + "}"
	}
	key := `"` + nodeKey + `"`
	// By the words of the recording, without the API in front.
	bodies := map[string]string{
		"valid":                      body(),
		"valid CT=json":              body(),
		"location field":             body(`"domain"`, `"location": "MUC", "domain"`),
		"bad key":                    body(nodeKey, "nonsense"),
		"key w/ trailing newline":    body(nodeKey, nodeKey+`\n`),
		"non-canonical key (..B=)":   body("kg=", "kB="),
		"key null":                   body(key, "null"),
		"key missing":                body(`"public_key": `+key+`, `, ""),
		"key int":                    body(key, "7"),
		"unknown domain":             body("ffxx_city", "ffxx_nowhere"),
		"configured, prefix missing": body("ffxx_city", "other_city"),
		"missing domain":             body(`, "domain": "ffxx_city"`, ""),
		"no worker for domain":       body("ffxx_city", "ffxx_empty"),
		"worker without data":        body("ffxx_city", "ffxx_nodata"),
		"malformed JSON":             `{"public_key": `,
		"empty body":                 "",
		"JSON array":                 "[1, 2]",
		"GET":                        "",
		"1MB extra field":            body(`"domain"`, `"extra": "`+strings.Repeat("x", 1<<20)+`", "domain"`),
		"1MB garbage":                strings.Repeat("x", 1<<20),
	}
	others := map[string][2]string{ // method and path of the rest
		"GET locations":    {"GET", PathLocations},
		"POST v3 (absent)": {"POST", "/api/v3/wg/key/exchange"},
		"GET v3 config":    {"GET", "/api/v3/config"},
		"trailing slash":   {"POST", PathV1 + "/"},
	}

	entries := readRecorded(t)
	if len(entries) != 44 {
		t.Fatalf("%d entries in the recording", len(entries))
	}
	b := recordedBroker()
	defer b.Close()
	srv := httptest.NewServer(b)
	defer srv.Close()
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			method, path, content := "POST", "", ""
			if o, ok := others[e.name]; ok {
				method, path = o[0], o[1]
				if method == "POST" {
					content = body()
				}
			} else {
				api, words, _ := strings.Cut(e.name, " ")
				path = map[string]string{"v1": PathV1, "v2": PathV2}[api]
				if content, ok = bodies[words]; !ok || path == "" {
					t.Fatal("no request known for this entry")
				}
				if words == "GET" {
					method = "GET"
				}
			}
			req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(e.name, "CT=json") {
				req.Header.Set("Content-Type", "application/json")
			}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if s := resp.Status[:3]; s != e.status {
				t.Errorf("status %s, recorded %s", s, e.status)
			}
			if ct := resp.Header.Get("Content-Type"); e.contentType != "" && ct != e.contentType {
				t.Errorf("content type %q, recorded %q", ct, e.contentType)
			}
			if allow := resp.Header.Get("Allow"); (resp.StatusCode == 405) != (allow == "POST, OPTIONS") {
				t.Errorf("status %d, header Allow %q", resp.StatusCode, allow)
			}
			if fold(string(got)) != e.body {
				t.Errorf("body %q\nrecorded %q", got, e.body)
			}
			if !strings.HasSuffix(string(got), "\n") {
				t.Errorf("body %q does not end with a newline", got)
			}
			if strings.HasPrefix(e.body, "{") && !json.Valid(got) {
				t.Errorf("body %q is no JSON", got)
			}
		})
	}
}
