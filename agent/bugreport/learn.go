//go:build !nobroker

package bugreport

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/mask"
	"wguplink/agent/uci"
	"wguplink/agent/wireguard"
)

// learn tells the mask of all secrets that this machine has in UCI and in the files of keys, and of the public keys.
func (r *report) learn() {
	entries, _ := os.ReadDir(r.o.Config)
	for _, staged := range []string{"", r.o.Staged} { // a staged value hides the one in the file
		tree := uci.NewTree(r.o.Config, staged)
		for _, e := range entries {
			r.learnPackage(tree, e.Name())
			if err := tree.LoadConfig(e.Name(), false); err != nil {
				r.learnText(tree, e.Name())
			}
		}
	}
	r.mask.Public(r.o.Public...)
	for _, u := range r.o.Uplinks {
		if u.KeyFile != "" {
			r.mask.Secret(r.read(u.KeyFile))
		}
		for _, g := range u.Gateways {
			r.mask.Public(g.PublicKey.String())
		}
	}
	wg, err := wireguard.New()
	if err != nil {
		return
	}
	defer wg.Close()
	for _, d := range wg.Devices() {
		r.mask.Secret(d.PrivateKey.String())
		r.mask.Public(d.PublicKey.String())
		for _, p := range d.Peers {
			r.mask.Public(p.PublicKey.String())
			r.mask.Secret(p.PresharedKey.String())
		}
	}
}

// public are options whose values look like secrets and are none.
var public = []string{"public_key", "publickey", "broker_pin", "config_pubkey", "domain_seed"}

func (r *report) learnPackage(tree *uci.Tree, name string) {
	sections, _ := tree.GetSections(name, "")
	for _, s := range sections {
		for _, option := range tree.Options(name, s) {
			values, _ := tree.Get(name, s, option)
			r.learnOption(tree, name, option, values)
		}
	}
}

// learnText does the same line by line, for a file that is damaged.
func (r *report) learnText(tree *uci.Tree, name string) {
	text, err := os.ReadFile(filepath.Join(r.o.Config, name))
	if err != nil {
		return
	}
	for _, l := range strings.Split(string(text), "\n") {
		words := strings.Fields(l)
		if len(words) < 3 || words[0] != "option" && words[0] != "list" {
			continue
		}
		_, value, _ := strings.Cut(l, words[1])
		r.learnOption(tree, name, strings.Trim(words[1], `'"`), []string{strings.Trim(value, " \t\r'\"")})
	}
}

// leastUnknown is how long the value of an option without a known name must be to be taken for a secret, in bytes.
const leastUnknown = 6

func (r *report) learnOption(tree *uci.Tree, name, option string, values []string) {
	switch {
	case slices.Contains(public, option):
		r.mask.Public(values...)
	case mask.Names(option):
		r.mask.Secret(values...)
	case option == "key_file":
		for _, f := range values {
			r.mask.Secret(r.read(f))
		}
	case option == "key_import":
		for _, place := range values {
			if p := strings.Split(place, "."); len(p) == 3 {
				secrets, _ := tree.Get(p[0], p[1], p[2])
				r.mask.Secret(secrets...)
			}
		}
	case option == "broker":
		for _, v := range values {
			r.mask.Secret(inURL(v)...)
		}
	case name == config.Package && !config.HasOption("uplink", option) && !config.HasOption("gateway", option) &&
		!config.HasOption("global", option):
		for _, v := range values { // a secret may stand under a misspelt name
			if len(v) >= leastUnknown {
				r.mask.Secret(v)
			}
		}
	}
}

// inURL are the parts of a URL that may be secrets: who logs in, what is asked, and a long name on the path, as a token
// is.
func inURL(s string) (found []string) {
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user, password, _ := strings.Cut(s[:at], ":")
		found, s = append(found, user, password), s[at+1:]
	}
	s, query, _ := strings.Cut(s, "?")
	for _, q := range strings.Split(query, "&") {
		_, v, _ := strings.Cut(q, "=")
		found = append(found, v)
	}
	const token = 12 // letters; api, v2 and the like are shorter
	for i, part := range strings.Split(s, "/") {
		if i > 0 && len(part) >= token {
			found = append(found, part)
		}
	}
	return found
}
