package wgkex

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
)

// Paths of the APIs, as at the real broker.
const (
	PathV1        = "/api/v1/wg/key/exchange"
	PathV2        = "/api/v2/wg/key/exchange"
	PathLocations = "/api/v1/locations"
)

// The two errors and the two pages of the real broker; see testdata/responses-main.txt.
const (
	textJSON = "application/json"
	textHTML = "text/html; charset=utf-8"

	internalError = "An internal error has occurred. Please try again later."
	noneOnline    = "no gateway online for this domain, please check the domain value and try again later"
	noData        = "could not get gateway data"

	pageNotFound = `<!doctype html>
<html lang=en>
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>
`
	// The start page of the recorded broker, whose template was not installed.
	pageInternal = `<!doctype html>
<html lang=en>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request. Either the server is overloaded or there is an error in the application.</p>
`
	pageNotAllowed = `<!doctype html>
<html lang=en>
<title>405 Method Not Allowed</title>
<h1>Method Not Allowed</h1>
<p>The method is not allowed for the requested URL.</p>
`
)

// keyPattern is WG_PUBKEY_PATTERN of wgkex/broker/app.py, including what Python's $ makes of it: one newline at the end
// is accepted.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw480]=\n?$`)

// Endpoint is the gateway in an answer of v2, its fields in the order of the real broker's JSON.
type Endpoint struct {
	Address    string
	AllowedIPs []string
	Port       any // a string at the real broker
	PublicKey  string
}

// answer is a complete response.
type answer struct {
	status      int
	contentType string
	body        []byte
	allow       string // header Allow
}

// jsonAnswer encodes v as Flask does: one line with a newline at its end.
func jsonAnswer(status int, v any) answer {
	var buf strings.Builder
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // writes into memory, and all our types can be encoded
	return answer{status: status, contentType: textJSON, body: []byte(buf.String())}
}

func errorAnswer(status int, message string) answer {
	return jsonAnswer(status, map[string]any{"error": map[string]string{"message": message}})
}

func htmlAnswer(status int, page string) answer {
	return answer{status: status, contentType: textHTML, body: []byte(page)}
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", a.contentType)
	if a.allow != "" {
		w.Header().Set("Allow", a.allow)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// ServeHTTP answers like the real broker, or as the fault set for the API says.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := Other
	switch r.URL.Path {
	case PathV1:
		api = V1
	case PathV2:
		api = V2
	case PathLocations:
		api = Locations
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	fault := b.record(Request{
		API: api, Method: r.Method, Path: r.URL.Path, Host: r.Host, From: r.RemoteAddr,
		Header: r.Header.Clone(), Body: body[:min(len(body), MaxRecordedBody)],
	})

	x := &exchange{b: b, api: api, r: r, body: body}
	answers := x.good
	switch own := fault.Own().(type) {
	case func(*Endpoint):
		x.edit = own
	case func(API) answer:
		answers = func() answer { return own(api) }
	}
	fault.Serve(httpfault.Server{
		Good:  func(w http.ResponseWriter, _ *http.Request) { answers().write(w) },
		Error: writeError, Closing: b.closing,
	}, w, r)
}

// writeError is what the real broker says with a status.
func writeError(w http.ResponseWriter, status int) {
	if status == http.StatusNotFound {
		htmlAnswer(status, pageNotFound).write(w)
		return
	}
	errorAnswer(status, internalError).write(w)
}

// exchange is one request on its way to an answer.
type exchange struct {
	b    *Broker
	api  API
	r    *http.Request
	body []byte
	edit func(*Endpoint) // from a fault; nil for none
}

// good does what the real broker does, publishing included, and returns its answer.
func (x *exchange) good() answer {
	method := http.MethodPost
	switch {
	case x.r.URL.Path == "/":
		return htmlAnswer(http.StatusInternalServerError, pageInternal)
	case x.api == Other, x.api == Locations && !x.b.o.ServeLocations:
		return htmlAnswer(http.StatusNotFound, pageNotFound)
	case x.api == Locations:
		method = http.MethodGet
	}
	if x.r.Method == http.MethodOptions {
		a := htmlAnswer(http.StatusOK, "")
		a.allow = method + ", OPTIONS"
		return a
	}
	if x.r.Method != method && !(method == http.MethodGet && x.r.Method == http.MethodHead) {
		a := htmlAnswer(http.StatusMethodNotAllowed, pageNotAllowed)
		a.allow = method + ", OPTIONS"
		return a
	}
	if x.api == Locations {
		return jsonAnswer(http.StatusOK, map[string]any{"locations": x.b.locations()})
	}

	reg, ok := x.b.parse(x.body)
	if !ok {
		return errorAnswer(http.StatusBadRequest, internalError)
	}
	reg.API, reg.From = x.api, x.r.RemoteAddr
	own, ok := x.b.assign(reg.Domain, reg.Key)
	if !ok {
		return errorAnswer(http.StatusInternalServerError, rangeFull)
	}
	x.b.publish(reg.Domain, reg.Key)

	a := jsonAnswer(http.StatusOK, map[string]string{"Message": "OK"})
	if x.api == V2 {
		a = x.endpoint(&reg, own)
	}
	if x.b.o.OnRegister != nil {
		x.b.o.OnRegister(reg)
	}
	return a
}

// endpoint chooses a gateway, notes it in reg and describes it.
func (x *exchange) endpoint(reg *Registration, own netip.Addr) answer {
	name, data, ok := x.b.choose(reg.Domain, reg.Location)
	if !ok {
		return errorAnswer(http.StatusBadRequest, noneOnline)
	}
	reg.Gateway = name
	if data == nil {
		return errorAnswer(http.StatusInternalServerError, noData)
	}
	e := Endpoint{
		Address:    data.ExternalAddress,
		AllowedIPs: []string{data.LinkAddress},
		Port:       itoa(data.Port),
		PublicKey:  data.PublicKey,
	}
	if x.edit != nil {
		x.edit(&e)
	}
	if own.IsValid() {
		e.AllowedIPs = append(e.AllowedIPs, x.b.o.Layer3.String())
		return jsonAnswer(http.StatusOK, map[string]any{"Endpoint": e,
			"Node": map[string]any{"Addresses": []string{own.String()}}})
	}
	return jsonAnswer(http.StatusOK, map[string]any{"Endpoint": e})
}

// parse reads the body of a key exchange. Names are matched exactly, which encoding/json does for maps only; unknown
// ones are ignored, and so is a location of the wrong type.
func (b *Broker) parse(body []byte) (Registration, bool) {
	var fields map[string]json.RawMessage
	text, ok := pythonJSON(body)
	if !ok || json.Unmarshal(text, &fields) != nil {
		return Registration{}, false
	}
	value := func(name string) (string, bool) {
		var s *string
		if json.Unmarshal(fields[name], &s) != nil || s == nil {
			return "", false
		}
		return *s, true
	}

	key, ok := value("public_key")
	if !ok || !keyPattern.MatchString(key) {
		return Registration{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(key, "\n"))
	if err != nil || len(raw) != len(peerselector.Key{}) {
		return Registration{}, false
	}
	domain, ok := value("domain")
	if !ok || !b.accepts(domain) {
		return Registration{}, false
	}
	location, _ := value("location")
	return Registration{Domain: domain, Key: peerselector.Key(raw), Location: location}, true
}

// accepts reports whether a domain is configured and has one of the prefixes asked for.
func (b *Broker) accepts(domain string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.serviceable(domain)
}

// serviceable is accepts for a caller that holds mu.
func (b *Broker) serviceable(domain string) bool {
	hasPrefix := func(p string) bool { return strings.HasPrefix(domain, p) }
	return b.configured(domain) && (len(b.o.DomainPrefixes) == 0 || slices.ContainsFunc(b.o.DomainPrefixes, hasPrefix))
}
