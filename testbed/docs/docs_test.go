// Package docs holds the documentation against what it speaks of: each command in it is one that is there.
package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const top = "../.."

// A page is one document: its text, its blocks of code, and what stands between backquotes.
type page struct {
	name   string
	text   string
	blocks []block
	spans  []string
}

type block struct{ lang, text string }

func pages(t *testing.T) []page {
	t.Helper()
	var list []page
	for _, pattern := range []string{"*.md", "docs/*.md", "site-example/*.md", "peerselector/*.md"} {
		names, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(top, name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, read(rel, string(text)))
		}
	}
	if len(list) < 15 {
		t.Fatalf("%d documents only", len(list))
	}
	return list
}

var (
	span = regexp.MustCompile("`([^`\n]+(?:\n[^`\n]+)?)`")
	list = regexp.MustCompile(`^\s*([-*]|\d+\.) `)
)

// read takes blocks between fences, and those that are indented by four columns more than the text around.
func read(name, text string) page {
	p := page{name: name, text: text}
	var current *block
	margin, blank := 0, true
	var prose strings.Builder
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch fence := strings.HasPrefix(trimmed, "```"); {
		case fence && current != nil && current.lang != "indented":
			p.blocks, current = append(p.blocks, *current), nil
		case fence:
			if current != nil {
				p.blocks = append(p.blocks, *current)
			}
			current = &block{lang: strings.TrimPrefix(trimmed, "```")}
		case current != nil && current.lang != "indented":
			current.text += line + "\n"
		case trimmed != "" && indent >= margin+4 && (blank || current != nil):
			if current == nil {
				current = &block{lang: "indented"}
			}
			current.text += line + "\n"
		default:
			if current != nil && trimmed != "" {
				p.blocks, current = append(p.blocks, *current), nil
			}
			prose.WriteString(line + "\n")
		}
		if m := list.FindString(line); m != "" {
			margin = len(m)
		} else if trimmed != "" && indent == 0 {
			margin = 0
		}
		blank = trimmed == ""
	}
	if current != nil {
		p.blocks = append(p.blocks, *current)
	}
	for _, m := range span.FindAllStringSubmatch(prose.String(), -1) {
		p.spans = append(p.spans, strings.Join(strings.Fields(m[1]), " "))
	}
	return p
}

// commands returns each command of a page, as words: those of blocks for the shell, and what looks like one between
// backquotes.
func (p page) commands() [][]string {
	var out [][]string
	add := func(text string) {
		for _, c := range separators.Split(comment.ReplaceAllString(text, ""), -1) {
			if words := strings.Fields(c); len(words) > 0 {
				out = append(out, words)
			}
		}
	}
	for _, b := range p.blocks {
		if slices.Contains([]string{"", "sh", "indented"}, b.lang) {
			for _, line := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
				add(line)
			}
		}
	}
	for _, s := range p.spans {
		add(s)
	}
	return out
}

var (
	separators = regexp.MustCompile(`&&|\|\||[|;]`)
	comment    = regexp.MustCompile(`(^|\s)#.*`)
	word       = regexp.MustCompile(`^[a-z][a-z-]*$`)
	option     = regexp.MustCompile(`^\[?(--?[a-z][a-z-]*)`)
	target     = regexp.MustCompile(`^[a-z][a-z-]*$`)
	uciOption  = regexp.MustCompile(`^wguplink\.[a-z0-9_@\[\]-]+\.([a-z0-9_]+)`)
	variable   = regexp.MustCompile(`^\[?([A-Z][A-Z_]*)=`)
)

// program builds the agent, and returns how to run it.
func program(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "wguplink")
	cmd := exec.Command("go", "build", "-o", out, "./agent")
	cmd.Dir = top
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return out
}

// TestCommands: sub-commands, options, targets of make and their variables, scripts and their options are there.
func TestCommands(t *testing.T) {
	wguplink := program(t)
	help := map[string]string{}
	helpOf := func(sub string) string {
		if _, ok := help[sub]; !ok {
			b, err := exec.Command(wguplink, append(strings.Fields(sub), "--help")...).CombinedOutput()
			if err != nil {
				b = nil
			}
			help[sub] = string(b)
		}
		return help[sub]
	}
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	options, err := os.ReadFile(filepath.Join(top, "docs/configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]int{}
	for _, p := range pages(t) {
		for _, c := range p.commands() {
			fault := ""
			switch first := strings.TrimPrefix(c[0], "./"); {
			case first == "wguplink" && len(c) > 1:
				fault = checkProgram(c[1:], helpOf)
			case first == "make" && len(c) > 1:
				fault = checkMake(c[1:], string(makefile))
			case strings.HasPrefix(first, "scripts/") && first != "scripts/feeds", first == ".ci/run",
				strings.HasPrefix(first, "feed/test/"),
				strings.HasPrefix(first, "package/test/"):
				fault = checkScript(first, c[1:])
			case first == "uci" && len(c) > 2:
				if m := uciOption.FindStringSubmatch(c[2]); m != nil &&
					!strings.Contains(string(options), "`"+m[1]+"`") {
					fault = "docs/configuration.md has no option " + m[1]
				}
			case first == "/etc/init.d/wguplink" && len(c) > 1:
				if !slices.Contains([]string{"start", "stop", "restart", "reload", "enable", "disable", "enabled",
					"running"}, c[1]) {
					fault = "the service has no action " + c[1]
				}
			default:
				continue
			}
			known[strings.SplitN(c[0], "/", 2)[0]]++
			if fault != "" {
				t.Errorf("%s: %s: %s", p.name, strings.Join(c, " "), fault)
			}
		}
	}
	for _, name := range []string{"wguplink", "make", "scripts"} {
		if known[name] < 10 {
			t.Errorf("only %d commands with %s were found: are they read at all?", known[name], name)
		}
	}
}

func checkProgram(args []string, help func(string) string) string {
	sub := args[0]
	if strings.HasPrefix(sub, "-") {
		if !has(help(""), sub) && sub != "--version" {
			return "there is no option " + sub
		}
		return ""
	}
	if !word.MatchString(sub) {
		return "" // a sentence, or a placeholder
	}
	if sub == "help" || sub == "wgpeerselector" {
		return "" // how it is called; the other has a help of its own
	}
	rest := args[1:]
	if (sub == "config" || sub == "key") && len(rest) > 0 && word.MatchString(rest[0]) {
		sub, rest = sub+" "+rest[0], rest[1:]
	}
	// As the general help lists them, by themselves or behind the program's name.
	if !regexp.MustCompile(`(?m)(^\s*(wguplink )?|also )` + sub + `\b`).MatchString(help("")) {
		return "there is no command " + sub
	}
	for _, a := range rest {
		if m := option.FindStringSubmatch(a); m != nil && !has(help(sub)+help(""), m[1]) {
			return "there is no option " + m[1]
		}
	}
	return ""
}

// has says whether a text has the option, and not only one that begins like it.
func has(text, option string) bool {
	return regexp.MustCompile(option + `([^a-z-]|$)`).MatchString(text)
}

func checkMake(args []string, makefile string) string {
	for i, a := range args {
		a = strings.Trim(a, "[]'\"")
		if m := variable.FindStringSubmatch(a); m != nil {
			if !regexp.MustCompile(`\$[({](or \$\()?` + m[1] + `[)},]`).MatchString(makefile) {
				return "the Makefile does not know the variable " + m[1]
			}
			continue
		}
		// Those of OpenWrt's and Gluon's build systems.
		if i == 0 && (strings.HasPrefix(a, "package/") ||
			slices.Contains([]string{"menuconfig", "manifest", "update", "defconfig"}, a)) {
			return ""
		}
		if i == 0 && target.MatchString(a) && !regexp.MustCompile(`(?m)^`+a+`:`).MatchString(makefile) {
			return "the Makefile has no target " + a
		}
		if i > 0 && !target.MatchString(a) {
			break
		}
	}
	return ""
}

func checkScript(name string, args []string) string {
	info, err := os.Stat(filepath.Join(top, name))
	if err != nil {
		return "there is no such file"
	}
	if info.Mode()&0o111 == 0 || info.IsDir() {
		return "" // a folder, or what others read
	}
	content, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		return err.Error()
	}
	for _, a := range args {
		m := option.FindStringSubmatch(a)
		if m == nil {
			break
		}
		// One letter by getopts, or a word that stands in the script as it is, alone.
		letters := regexp.MustCompile(`getopts [a-zA-Z:]*` + m[1][1:2])
		words := regexp.MustCompile(`= ` + m[1] + ` |^\s*` + m[1] + `\)|with ` + m[1] + `|; ` + m[1])
		if !letters.Match(content) && !words.Match(content) {
			return "it has no option " + m[1]
		}
	}
	return ""
}

// TestWorkflows: hosted CI runs what a person types, and each of it is there.
func TestWorkflows(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(top, ".github/workflows/*.yml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no workflows (%v)", err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ours := 0
		for _, m := range regexp.MustCompile(`(?m)^\s*run: (.+)$`).FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(m[1], "${{") {
				t.Errorf("%s: %s cannot be typed: hand it over by env", name, m[1])
			}
			for _, c := range separators.Split(m[1], -1) {
				words, fault := strings.Fields(c), ""
				switch {
				case len(words) == 0:
				case words[0] == "make":
					ours++
					fault = checkMake(words[1:], string(makefile))
				case strings.HasPrefix(words[0], "scripts/"), words[0] == ".ci/run":
					ours++
					fault = checkScript(words[0], words[1:])
				case words[0] != "apt-get" && words[0] != "git":
					fault = "what is it?"
				}
				if fault != "" {
					t.Errorf("%s: %s: %s", name, c, fault)
				}
			}
		}
		if ours == 0 {
			t.Errorf("%s runs nothing of ours", name)
		}
	}
}

// TestConfigurations: what stands as a configuration of ours is one, but for what has to be put in.
func TestConfigurations(t *testing.T) {
	wguplink := program(t)
	n := 0
	for _, p := range pages(t) {
		for i, b := range p.blocks {
			if !strings.Contains(b.text, "config uplink") && !strings.Contains(b.text, "config gateway") ||
				strings.Contains(b.text, "…") {
				continue
			}
			n++
			t.Run(fmt.Sprintf("%s-%d", strings.ReplaceAll(p.name, "/", "-"), i), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "wguplink"), []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(wguplink, "config", "check", "--config", dir, "--staged",
					filepath.Join(dir, "none")).CombinedOutput()
				if err != nil {
					t.Errorf("%s\n%s", out, b.text)
				}
			})
		}
	}
	if n < 5 {
		t.Errorf("only %d configurations were found", n)
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: each link to a file or a heading of this tree leads somewhere.
func TestLinks(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			path := filepath.Join(top, filepath.Dir(p.name), file)
			if file == "" {
				path = filepath.Join(top, p.name)
			}
			content, err := os.ReadFile(path)
			if err != nil {
				if info, err := os.Stat(path); err != nil || !info.IsDir() {
					t.Errorf("%s: %s leads nowhere", p.name, m[1])
				}
				continue
			}
			if anchor != "" && !slices.Contains(headings(string(content)), anchor) {
				t.Errorf("%s: %s has no heading for %s", p.name, file, m[1])
			}
		}
	}
}

// headings gives the anchors of a document's headings, as code hosts make them.
func headings(text string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		name := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
		out = append(out, strings.ReplaceAll(name, " ", "-"))
	}
	return out
}
