package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is generated from the tables of options")

// The files with a part that is generated, and the lines around it.
var generated = []struct {
	file, begin, end string
	text             func(t *testing.T, root string) string
}{
	{"package/gluon-mesh-vpn-wguplink/luasrc/usr/lib/lua/gluon/mesh-vpn/wguplink_rules.lua", "-- BEGIN generated",
		"-- END generated", rulesInLua},
	{"package/gluon-mesh-vpn-wguplink/check_site.lua", "-- BEGIN generated", "-- END generated", rulesInLua},
	{"package/gluon-mesh-vpn-parker-wguplink/check_site.lua", "-- BEGIN generated", "-- END generated", rulesInLua},
	{"feed/luci-app-wguplink/htdocs/luci-static/resources/wguplink/options.js", "\t// BEGIN generated",
		"\t// END generated", optionsInJS},
	{"docs/configuration.md", "<!-- BEGIN generated -->", "<!-- END generated -->", scopesInMarkdown},
}

// TestGeneratedRules compares what other programs know of the options with the tables: Gluon's site check and
// providers, LuCI's form and the documentation. With -update it is written.
func TestGeneratedRules(t *testing.T) {
	const root = "../.."
	for _, g := range generated {
		file := filepath.Join(root, g.file)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(raw), g.begin+"\n")
		_, after, closed := strings.Cut(rest, g.end+"\n")
		if !ok || !closed {
			t.Fatalf("%s: no lines %q and %q", file, g.begin, g.end)
		}
		want := before + g.begin + "\n" + g.text(t, root) + g.end + "\n" + after
		if *update && want != string(raw) {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if want != string(raw) {
			t.Errorf("%s is not what the tables of options give: run scripts/rules", file)
		}
	}
}

// rulesInLua returns the hand-written kinds of package/rules.lua and a table of the options in those words.
func rulesInLua(t *testing.T, root string) string {
	kinds, err := os.ReadFile(filepath.Join(root, "package/rules.lua"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(
		"-- From package/rules.lua and the agent's tables of options, by scripts/rules. Do not edit it here.\n-- " +
			"luacheck: push no max line length\n")
	b.Write(kinds)
	for _, typ := range []string{typeUplink, typeGateway} {
		fmt.Fprintf(&b, "\nrules.%s = {\n", typ)
		for _, o := range table(typ) {
			if o.set == nil {
				continue
			}
			more := ""
			if o.list {
				more += ", list = true"
			}
			if typ == typeUplink {
				more += scopeInLua(scopeOf(o.name))
			}
			fmt.Fprintf(&b, "\t%s = { %s%s,\n\t\tallowed = %s },\n", o.name, kindOf(t, o), more, luaString(o.allowed))
		}
		b.WriteString("}\n")
	}
	b.WriteString("-- luacheck: pop\n")
	return b.String()
}

func luaString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func luaWords(words []string) string {
	for i, w := range words {
		words[i] = luaString(w)
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

func scopeInLua(s scope) string {
	text := ""
	if s.protocols != 0 {
		text += ", protocols = " + luaWords(strings.Split(bits(protocolWords, s.protocols), " or "))
	}
	if s.modes != 0 {
		text += ", modes = " + luaWords(strings.Split(bits(modeWords, s.modes), " or "))
	}
	return text
}

var (
	rangeText = regexp.MustCompile(
		`^(auto, or )?(kbit/s from |seconds from |whole seconds from )?([0-9.]+) to ([0-9]+)(, or 0|, and not more than mtu - 70)?$`)
	wordsText = regexp.MustCompile(`^[a-z0-9_]+(, [a-z0-9_]+)+$`)
)

// kindOf reads the text for people, so that it is tested with the values, too: package/test compares the verdicts.
func kindOf(t *testing.T, o option) string {
	for text, kind := range map[string]string{
		allowedBool: "bool", allowedBroker: "broker", allowedText: "text", allowedServer: "server",
		allowedResolver: "resolver",
		allowedLink:     "link", allowedEndpoint: "endpoint",
		"the absolute path of a PEM file, or none":                                             "path_or_none",
		"the absolute path of a file":                                                          "path",
		"sha256/ and 32 bytes in base64, the same without sha256/, or 64 hexadecimal digits":   "pin",
		"1 to 64 letters, digits, dots, dashes and underscores":                                "domain",
		"a signify public key: one line of base64":                                             "signing_key",
		"0 to 4294967295, or 0x0 to 0xffffffff":                                                "mark",
		"64 hexadecimal digits":                                                                "hex64",
		"package.section.option":                                                               "place",
		"the name of an uplink section":                                                        "name",
		"a WireGuard key: 44 characters of base64":                                             "key",
		"a link-local IPv6 address, in mode layer3 any unicast address; without prefix length": "unicast",
		"prefixes such as fe80::1/128":                                                         "prefix",
	} {
		if o.allowed == text {
			return "kind = " + luaString(kind)
		}
	}
	if o.allowed == "64, 128" {
		return "kind = 'numbers', among = { 64, 128 }"
	}
	if wordsText.MatchString(o.allowed) {
		return "kind = 'words', among = " + luaWords(strings.Split(o.allowed, ", "))
	}
	m := rangeText.FindStringSubmatch(o.allowed)
	if m == nil {
		t.Fatalf("option %s: no kind of rule for %q: add it here and to package/rules.lua", o.name, o.allowed)
	}
	kind := "number"
	switch m[2] {
	case "seconds from ":
		kind = "seconds"
	case "whole seconds from ":
		kind = "whole_seconds"
	}
	from := m[3]
	if m[5] == ", or 0" {
		from = "0"
	}
	auto := ""
	if m[1] != "" {
		auto = ", auto = true"
	}
	return fmt.Sprintf("kind = '%s', from = %s, to = %s%s", kind, from, m[4], auto)
}

// scopesInMarkdown returns the table of options that not every uplink can use.
func scopesInMarkdown(*testing.T, string) string {
	var b strings.Builder
	b.WriteString("| Option | Only with protocol | Only in mode |\n|---|---|---|\n")
	for _, o := range uplinkOptions {
		s := scopeOf(o.name)
		if s == (scope{}) {
			continue
		}
		modes := "any"
		if s.modes != 0 {
			modes = strings.ReplaceAll(bits(modeWords, s.modes), " or ", ", ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", o.name, strings.ReplaceAll(bits(protocolWords, s.protocols),
			" or ", ", "), modes)
	}
	return b.String()
}

// documented finds a row of a table of options in docs/configuration.md: name, type, default, allowed, meaning.
var documented = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (?:option|list) \\| (.*?) \\| (.*) \\| (.*?) \\|$")

// optionsInJS returns the tables as LuCI's form reads them, with the meanings out of docs/configuration.md, marked for
// translation.
func optionsInJS(t *testing.T, root string) string {
	text, err := os.ReadFile(filepath.Join(root, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(
		"\t// From the agent's tables of options and docs/configuration.md, by scripts/rules. Do not edit it here.\n")
	for _, typ := range []string{typeGlobal, typeUplink, typeGateway} {
		_, chapter, ok := strings.Cut(string(text), "\n## Section "+typ+"\n")
		if !ok {
			t.Fatalf("docs/configuration.md has no section %s", typ)
		}
		chapter, _, _ = strings.Cut(chapter, "\n## ")
		rows := map[string][]string{}
		for _, row := range documented.FindAllStringSubmatch(chapter, -1) {
			rows[row[1]] = row[2:]
		}
		fmt.Fprintf(&b, "\t%s: [\n", typ)
		for _, o := range table(typ) {
			if o.set == nil {
				continue
			}
			row, ok := rows[o.name]
			if !ok {
				t.Fatalf("docs/configuration.md does not know option %s of section %s", o.name, typ)
			}
			fmt.Fprintf(&b, "\t\t{ name: '%s', %s", o.name, kindInJS(t, o))
			if o.list {
				b.WriteString(", list: true")
			}
			if o.def != "" {
				b.WriteString(", def: " + luaString(o.def))
			}
			if typ == typeUplink {
				b.WriteString(inJS(scopeInLua(scopeOf(o.name))))
			}
			if o.allowed != allowedBool && !wordsText.MatchString(o.allowed) {
				fmt.Fprintf(&b, ",\n\t\t\tallowed: _(%s)", luaString(o.allowed))
			}
			fmt.Fprintf(&b, ",\n\t\t\thelp: _(%s) },\n", luaString(plainText(row[2])))
		}
		b.WriteString("\t],\n")
	}
	return b.String()
}

var linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plainText is a cell of the documentation without its marks: of a link, what it says.
func plainText(markdown string) string {
	return strings.ReplaceAll(linkText.ReplaceAllString(markdown, "$1"), "`", "")
}

// kindInJS is kindOf in JavaScript. What the global section has beside, the agent alone checks.
func kindInJS(t *testing.T, o option) string {
	if strings.HasSuffix(o.allowed, ", or off") {
		return "kind: 'text'"
	}
	return inJS(kindOf(t, o))
}

// inJS turns a piece of a Lua table into one of an object.
func inJS(lua string) string {
	return strings.NewReplacer(" = ", ": ", "{ ", "[ ", " }", " ]").Replace(lua)
}
