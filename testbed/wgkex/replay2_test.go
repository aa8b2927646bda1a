package wgkex

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"
	"unicode/utf16"
)

// The 56 requests of the second recording, by the names in testdata/responses-2.txt (main branch, mid 2026).
func requests2() map[string]*http.Request {
	const key = "Ozbz4wEoJPKELAD4Y0SSQ7Zi0VrHVRL+PsL5Hd4Hez4="
	good := `{"domain": "ffmuc_welt", "public_key": "` + key + `"}`
	with := func(domain, key string) string { return `{"domain": ` + domain + `, "public_key": ` + key + `}` }
	utf16LE := "\xff\xfe"
	for _, u := range utf16.Encode([]rune(good)) {
		utf16LE += string([]byte{byte(u), byte(u >> 8)})
	}
	quoted := `"` + key + `"`
	posts := map[string]string{
		"ok":                   good,
		"location":             `{"location": "MUC", ` + good[1:],
		"bad key":              with(`"ffmuc_welt"`, `"AAA"`),
		"key newline":          with(`"ffmuc_welt"`, `"`+key+`\n"`),
		"key null":             with(`"ffmuc_welt"`, "null"),
		"key zeros":            with(`"ffmuc_welt"`, `"`+strings.Repeat("A", 43)+`="`),
		"domain int":           with("5", quoted),
		"domain list":          with(`["ffmuc_welt"]`, quoted),
		"no domain":            `{"public_key": ` + quoted + `}`,
		"unknown domain":       with(`"ffmuc_x"`, quoted),
		"empty domain (no gw)": with(`"ffmuc_empty"`, quoted),
		"array":                "[]",
		"empty":                "",
		"trunc":                `{"domain":`,
		"NaN extra":            `{"x":NaN,` + good[1:],
		"dup keys":             `{"domain":"x",` + good[1:],
		"BOM":                  "\xef\xbb\xbf" + good,
		"utf16":                utf16LE,
		"bad utf8":             "{\"x\":\"\xff\"," + good[1:],
		"trailing data":        good + " x",
		"2MB":                  `{"a":"` + strings.Repeat("A", 2000000) + `",` + good[1:],
	}
	all := map[string]*http.Request{
		"locations":      httptest.NewRequest("GET", PathLocations, nil),
		"locations POST": httptest.NewRequest("POST", PathLocations, strings.NewReader("{}")),
		"v3":             httptest.NewRequest("GET", "/api/v3/config", nil),
		"root":           httptest.NewRequest("GET", "/", nil),
	}
	for api, path := range map[string]string{"v1": PathV1, "v2": PathV2} {
		for name, body := range posts {
			all[api+" "+name] = httptest.NewRequest("POST", path, strings.NewReader(body))
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			all[api+" "+method] = httptest.NewRequest(method, path, nil)
		}
		all[api+" PUT"] = httptest.NewRequest("PUT", path, strings.NewReader("{}"))
		all[api+" slash"] = httptest.NewRequest("POST", path+"/", strings.NewReader(good))
	}
	return all
}

// The line that the recorder printed for an answer: status, type, sorted methods, and the first 200 bytes of the body
// as Python writes them, with what differs from run to run masked.
func recorder(w *httptest.ResponseRecorder, method string) string {
	allow := "None"
	if a := w.Header().Get("Allow"); a != "" {
		methods := strings.Split(strings.ReplaceAll(a, " ", ""), ",")
		sort.Strings(methods)
		allow = strings.Join(methods, ",")
	}
	body := w.Body.String()
	if method == http.MethodHead {
		body = "" // the server of a real connection leaves it out
	}
	body = regexp.MustCompile(`"(Address|PublicKey|Port)":"[^"]*"`).ReplaceAllString(body, `"$1":"*"`)
	body = regexp.MustCompile(`fe80::[0-9a-f:]+`).ReplaceAllString(body, "LL")
	body = body[:min(len(body), 200)]
	return fmt.Sprintf("%d %s %s b'%s'", w.Code, w.Header().Get("Content-Type"), allow,
		strings.ReplaceAll(body, "\n", `\n`))
}

func TestReplaySecondRecording(t *testing.T) {
	b := New(Options{DomainPrefixes: []string{"ffmuc_"}, Domains: []string{"ffmuc_welt", "ffmuc_empty"}})
	defer b.Close()
	tell(b, "ffmuc_welt", heard{"gw1", 0, true})
	b.Hear(DataMessage("ffmuc_welt", "gw1", WorkerData{ExternalAddress: "gw1", Port: 1, PublicKey: "k",
		LinkAddress: "fe80::1"}))

	f, err := os.Open("testdata/responses-2.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	requests := requests2()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, want, ok := strings.Cut(sc.Text(), " | ")
		if !ok {
			t.Fatalf("line %q has an unknown form", sc.Text())
		}
		r := requests[name]
		if r == nil {
			t.Errorf("no request known for %q", name)
			continue
		}
		delete(requests, name)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if got := recorder(w, r.Method); got != want {
			t.Errorf("%s:\ngot      %s\nrecorded %s", name, got, want)
		}
	}
	for name := range requests {
		t.Errorf("%q is not in the recording", name)
	}
}

// The encodings and numbers that Python's json.loads takes, and those that it does not.
func TestPythonJSON(t *testing.T) {
	for _, tt := range []struct {
		body, want string
		ok         bool
	}{
		{`{"a":1}`, `{"a":1}`, true},
		{"\xef\xbb\xbf{}", "{}", true},
		{"\xff\xfe{\x00}\x00", "{}", true},
		{"\xfe\xff\x00{\x00}", "{}", true},
		{"{\x00}\x00", "{}", true},
		{"\x00{\x00}", "{}", true},
		{"{\x00\x00\x00}\x00\x00\x00", "{}", true},
		{"\x00\x00\x00{\x00\x00\x00}", "{}", true},
		{"\xff\xfe\x00\x00{\x00\x00\x00}\x00\x00\x00", "{}", true},
		{"\x00\x00\xfe\xff\x00\x00\x00{\x00\x00\x00}", "{}", true},
		{"\xff\xfe{", "", false},
		{"\x00\x00\xfe\xff\x00", "", false},
		{"\x00\x00\xfe\xff\x00\x11\x00\x00", "", false},
		{"\"\xff\"", "", false},
		{`[NaN,-Infinity,Infinity,"NaN \"Infinity"]`, `[null,null,null,"NaN \"Infinity"]`, true},
		{`"\`, `"\`, true},
	} {
		got, ok := pythonJSON([]byte(tt.body))
		if string(got) != tt.want || ok != tt.ok {
			t.Errorf("%q: %q, %v; want %q, %v", tt.body, got, ok, tt.want, tt.ok)
		}
	}
}
