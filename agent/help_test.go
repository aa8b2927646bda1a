package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"wguplink/agent/wgpeerselector"
)

// Each help fits into a terminal of 80 columns, names all options of the command, and no others.
func TestHelpFits(t *testing.T) {
	texts := map[string]string{"wgpeerselector": wgpeerselector.Usage}
	_, texts["overview"], _ = run("help")
	for _, v := range verbs() {
		words := strings.Fields(v.name)
		code, out, stderr := run(append(words, "--help")...)
		if code != exitOK || stderr != "" || !strings.HasPrefix(out, "Usage: wguplink "+v.name) {
			t.Errorf("%s --help: exit code %d: %s%s", v.name, code, stderr, out)
		}
		if _, same, _ := run(append([]string{"help"}, words...)...); same != out {
			t.Errorf("help %s is another text than %s --help", v.name, v.name)
		}
		texts[v.name] = out
		var o options
		for _, f := range o.flags() {
			if named := strings.Contains(out, "  "+f.name+" "); named != v.takes(f) {
				t.Errorf("%s: %s is named: %v", v.name, f.name, named)
			}
		}
		if !strings.Contains(texts["overview"], "  "+v.name+" ") {
			t.Errorf("wguplink help lacks %s", v.name)
		}
		for _, f := range v.flags {
			if !slices.ContainsFunc(o.flags(), func(have setting) bool { return have.name == f }) {
				t.Errorf("%s takes %s, which is no option", v.name, f)
			}
		}
	}
	for name, text := range texts {
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: %d columns: %s", name, len(line), line)
			}
		}
	}
}

// What is misspelt is told with what it was probably meant to be.
func TestDidYouMean(t *testing.T) {
	_, flags := folders(t, goodConfig)
	for _, tt := range []struct{ args, says string }{
		{"statsu", `no command "statsu"; did you mean "status"?`},
		{"netchek", `did you mean "netcheck"?`},
		{"pin", `did you mean "ping"?`},
		{"config", `no command "config"; did you mean "config check"?`},
		{"config chck", `did you mean "config check"?`},
		{"key shwo", `did you mean "key show"?`},
		{"xyzzyxyzzy", `no command "xyzzyxyzzy"; see wguplink help`},
		{"status --jsno", `no option "--jsno"; did you mean "--json"?`},
		{"run --gruop x", `did you mean "--group"?`},
		{"run --json", `no option "--json"`},
		{"status --json=1", "option --json takes no value"},
		{"status -q", `no option "-q"`},
		{"help statsu", `did you mean "status"?`},
		{"status mehs", `no uplink "mehs"`},
		{"status mesg", `did you mean "mesh"?`},
	} {
		args := strings.Fields(tt.args)
		if args[0] == "status" && len(args) > 1 && args[1][0] != '-' {
			args = append(args, flags...)
		}
		code, stdout, stderr := run(args...)
		if code == exitOK || stdout != "" || !strings.Contains(stderr, tt.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s%s", tt.args, code, stdout, stderr)
		}
	}
}

// Options stand anywhere; what follows -- is none.
func TestOptions(t *testing.T) {
	v := find("status")
	o, rest, err := parseOptions(v, []string{"mesh", "--json", "--run=/r", "--config", "/c", "--", "--watch"})
	if err != nil || !o.json || o.watch || o.run != "/r" || o.config != "/c" ||
		strings.Join(rest, " ") != "mesh --watch" {
		t.Errorf("%+v, %q, %v", o, rest, err)
	}
	var b bytes.Buffer
	overview(&b)
	if !strings.Contains(b.String(), exitCodes) {
		t.Errorf("no exit codes:\n%s", &b)
	}
}
