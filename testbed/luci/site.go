// Package luci serves the pages of LuCI that this feed brings to a browser, from the files that the packages install.
package luci

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

//go:embed standin
var standin embed.FS

// StandIn is what takes the place of LuCI's own resources: see standin/luci.js.
func StandIn() fs.FS {
	sub, err := fs.Sub(standin, "standin")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return sub
}

// Site is a web server of a router: its pages, LuCI's resources, and ubus.
type Site struct {
	Feed string // the checkout's folder feed
	Base fs.FS  // LuCI's own /luci-static/resources
	// Theme is LuCI's /luci-static without resources, for its style sheets; nil for none.
	Theme fs.FS
	Ubus  http.Handler
	// Readonly has the sessions that may only read, as the menu tells a view.
	Readonly map[string]bool
}

var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<title>wguplink</title>
<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
<script src="/cgi-bin/luci/admin/translations/{{.Lang}}"></script>
</head>
<body class="lang_{{.Lang}}" data-page="admin-services-wguplink">
<div id="maincontent" class="container">
<script src="/luci-static/resources/cbi.js"></script>
<script src="/luci-static/resources/luci.js"></script>
<script>
L = new LuCI({media: '/luci-static/bootstrap', resource: '/luci-static/resources', scriptname: '/cgi-bin/luci',
	pathinfo: {{.Path}}, requestpath: {{.Parts}}, dispatchpath: {{.Parts}}, pollinterval: 5, ubuspath: '/ubus/',
	sessionid: {{.Session}}, token: 'token', nodespec: {satisfied: true, readonly: {{.Readonly}}},
	apply_rollback: 90, apply_holdoff: 4, apply_timeout: 5, apply_display: 1.5});
</script>
<div id="view"><script>L.require('ui').then(function(ui) { ui.instantiateView({{.View}}); });</script></div>
</div>
</body>
</html>
`))

// plain is a style sheet for the stand-in's pages.
const plain = `body { font: 14px sans-serif; margin: 1em auto; max-width: 1100px; color: #222 }
.cbi-section { margin: 1em 0; padding: .5em 1em; border: 1px solid #ddd; border-radius: 4px }
.alert-message { padding: .4em .8em; background: #eef; border-radius: 4px } .alert-message.warning { background: #fea }
.alert-message.danger, .alert-message.error { background: #fbb }
table { width: 100%; border-collapse: collapse } td, th { text-align: left; padding: .2em .5em; border-bottom: 1px solid #eee; vertical-align: top }
.cbi-value { display: grid; grid-template-columns: 14em 1fr; margin: .5em 0 } .cbi-value[hidden] { display: none }
.cbi-value-description, .cbi-section-descr, .cbi-map-descr { color: #666; font-size: 90% } .right { float: right }
.cbi-tabmenu { list-style: none; padding: 0 } .cbi-tabmenu li { display: inline; margin-right: 1em } .item { display: inline-block; margin-right: .5em; border: 1px solid #ccc; padding: 0 .3em }
`

// ServeHTTP serves a page below /cgi-bin/luci/ for the session and the language of its query, resources, and ubus.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == "/ubus/" || path == "/cgi-bin/luci/admin/ubus" || strings.HasPrefix(path, "/cgi-bin/luci/admin/ubus/"):
		s.Ubus.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/cgi-bin/luci/admin/translations/"):
		s.translations(w, strings.TrimPrefix(path, "/cgi-bin/luci/admin/translations/"))
	case strings.HasPrefix(path, "/cgi-bin/luci/"):
		s.page(w, r, strings.TrimPrefix(path, "/cgi-bin/luci"))
	case strings.HasPrefix(path, "/luci-static/resources/"):
		s.resource(w, strings.TrimPrefix(path, "/luci-static/resources/"))
	case path == "/favicon.ico":
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(path, "/luci-static/") && s.Theme != nil:
		serve(w, s.Theme, strings.TrimPrefix(path, "/luci-static/"))
	case path == "/luci-static/bootstrap/cascade.css":
		w.Header().Set("Content-Type", "text/css")
		fmt.Fprint(w, plain)
	default:
		http.NotFound(w, r)
	}
}

// menu is an entry of menu.d.
type menu struct {
	Title  string `json:"title"`
	Action struct {
		Type string `json:"type"`
		Path string `json:"path"`
	} `json:"action"`
}

// page finds the view of an address in the menus that the packages install.
func (s *Site) page(w http.ResponseWriter, r *http.Request, path string) {
	files, _ := filepath.Glob(filepath.Join(s.Feed, "luci-*/root/usr/share/luci/menu.d/*.json"))
	for _, f := range files {
		var entries map[string]menu
		raw, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(raw, &entries)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if m, ok := entries[strings.Trim(path, "/")]; ok && m.Action.Type == "view" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			sid := r.URL.Query().Get("session")
			page.Execute(w, map[string]any{"Lang": r.URL.Query().Get("lang"), "Path": path,
				"Parts":   strings.Split(strings.Trim(path, "/"), "/"),
				"Session": sid, "Readonly": s.Readonly[sid], "View": m.Action.Path})
			return
		}
	}
	http.Error(w, "no view at "+path, http.StatusNotFound)
}

// resource serves what a package installs, or else LuCI's own.
func (s *Site) resource(w http.ResponseWriter, name string) {
	dirs, _ := filepath.Glob(filepath.Join(s.Feed, "luci-*/htdocs/luci-static/resources"))
	for _, dir := range dirs {
		if _, err := fs.Stat(os.DirFS(dir), name); err == nil {
			serve(w, os.DirFS(dir), name)
			return
		}
	}
	if _, err := fs.Stat(s.Base, name); err != nil && name == "cbi.js" {
		return // the stand-in has all in one file
	}
	serve(w, s.Base, name)
}

var types = map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css",
	".svg": "image/svg+xml", ".png": "image/png"}

func serve(w http.ResponseWriter, from fs.FS, name string) {
	raw, err := fs.ReadFile(from, name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", types[filepath.Ext(name)])
	w.Write(raw)
}

// translations gives the page its texts, by the English ones.
func (s *Site) translations(w http.ResponseWriter, lang string) {
	all := map[string]string{}
	files, _ := filepath.Glob(filepath.Join(s.Feed, "luci-*/po", lang, "*.po"))
	for _, f := range files {
		texts, err := Catalog(f)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for id, text := range texts {
			all[id] = text
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	fmt.Fprintf(w, "window.TR = %s;\n", raw)
}

// Catalog reads a .po file: texts by the English ones, "" where there is no translation; without the header.
func Catalog(file string) (map[string]string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	var id, text string
	var to *string
	flush := func() {
		if id != "" {
			all[id] = text
		}
		id, text, to = "", "", nil
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "msgid "):
			flush()
			to, line = &id, strings.TrimPrefix(line, "msgid ")
		case strings.HasPrefix(line, "msgstr "):
			to, line = &text, strings.TrimPrefix(line, "msgstr ")
		}
		var part string
		if to == nil || json.Unmarshal([]byte(line), &part) != nil {
			return nil, fmt.Errorf("%s: line %d: %s", file, n, line)
		}
		*to += part
	}
	flush()
	return all, lines.Err()
}
