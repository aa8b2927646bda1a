//go:build !nobroker

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The manual page and bash's completion are made from the table of commands; neither is in a router's flash.
const (
	manualPage = "../docs/wguplink.8"
	completion = "../docs/wguplink.bash-completion"
)

func TestManualPage(t *testing.T) { compare(t, manualPage, page()) }

func TestCompletion(t *testing.T) { compare(t, completion, completions()) }

func compare(t *testing.T, name, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("%s; go test ./agent -run 'ManualPage|Completion' -update (-code +file):\n%s", name, diff)
	}
}

// roff makes a text fit for a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
	return strings.ReplaceAll("\n"+s, "\n.", "\n\\&.")[1:]
}

func page() string {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	var o options
	p(`.\" Made from the table of commands: go test ./agent -run ManualPage -update`)
	p(`.TH WGUPLINK 8 "" wguplink "System Administration"`)
	p(".SH NAME\nwguplink \\- bring a community router\\(aqs mesh online: WireGuard and VXLAN")
	p(".SH SYNOPSIS\n.B wguplink\n.I COMMAND\n[OPTION]...")
	p(
		".SH DESCRIPTION\nThe agent keeps the uplinks of\n.I /etc/config/wguplink\nup: it waits for a way out and " +
			"the time, makes the key known to a" +
			"\nbroker, chooses a gateway among all that answer, and makes the WireGuard and\nVXLAN " +
			"devices. The other " +
			"commands look at it, or ask it for something.")
	p(".SH COMMANDS")
	for _, v := range verbs() {
		p(".SS wguplink %s", roff(v.name))
		usage := ""
		for _, f := range o.flags() {
			if !f.common && v.takes(f) {
				usage += " [" + strings.TrimSpace(f.name+" "+f.value) + "]"
			}
		}
		p("%s\n.PP", strings.TrimSpace(".B wguplink "+roff(v.name)+"\n"+roff(strings.TrimSpace(usage+" "+v.args))))
		p("%s.", roff(strings.ToUpper(v.short[:1])+v.short[1:]))
		text, examples := manual(v.name)
		if text != "" {
			p(".PP\n.nf\n%s\n.fi", roff(text))
		}
		for _, e := range examples {
			p(".TP\n.B %s\n%s", roff(e[0]), roff(e[1]))
		}
	}
	p(".SH OPTIONS")
	for _, f := range o.flags() {
		p(".TP\n.B %s\n%s", roff(strings.TrimSpace(f.name+" "+f.value)), roff(f.short))
	}
	p(".SH EXIT STATUS\n.nf\n%s.fi", roff(strings.TrimPrefix(strings.TrimPrefix(exitCodes, "\n"), "Exit codes: ")))
	p(".SH FILES")
	for _, f := range [][2]string{
		{"/etc/config/wguplink", "the configuration; docs/configuration.md has all options"},
		{"/var/run/wguplink/NAME.json", "the status of an uplink; docs/ubus.md has the fields"},
		{"/etc/wguplink/hooks.d", "executables that are run at each change"},
	} {
		p(".TP\n.I %s\n%s", roff(f[0]), roff(f[1]))
	}
	p(".SH SEE ALSO\n.BR wg (8),\n.BR ip\\-route (8),\n.BR batctl (8)")
	return b.String()
}

func completions() string {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(
		"# shellcheck shell=bash\n# bash's completion for wguplink(8), for " +
			"/usr/share/bash-completion/completions/wguplink")
	p("# Made from the table of commands: go test ./agent -run Completion -update\n")
	p(
		"_wguplink() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} " +
			"verb=${COMP_WORDS[1]-} words")
	var o options
	var values, first, second []string
	cases := map[string][]string{}
	for _, f := range o.flags() {
		if f.value == "DIR" || f.value == "PATH" {
			values = append(values, f.name)
		}
	}
	for _, v := range verbs() {
		one, two, _ := strings.Cut(v.name, " ")
		if !slices.Contains(first, one) {
			first = append(first, one)
		}
		if two != "" {
			second = append(second, one+" "+two)
		}
		for _, f := range o.flags() {
			if v.takes(f) && !slices.Contains(cases[one], f.name) {
				cases[one] = append(cases[one], f.name)
			}
		}
	}
	first = append(first, "ping", "wgpeerselector", "--help", "--version")
	p("\tcase $prev in\n\t%s)\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\t\treturn\n\t\t;;",
		strings.Join(values, " | "))
	p(
		"\t--uplink | --group)\n\t\treturn\n\t\t;;\n\tesac\n\tif [[ $COMP_CWORD -eq 1 ]]; "+
			"then\n\t\twords='%s'\n\telse\n\t\tcase $verb in", strings.Join(first, " "))
	for _, one := range first {
		if len(cases[one]) == 0 {
			continue
		}
		more := cases[one]
		for _, s := range second {
			if w, sub, _ := strings.Cut(s, " "); w == one {
				more = append([]string{sub}, more...)
			}
		}
		if one == "help" {
			more = append(slices.Clone(first[:len(first)-4]), more...)
		}
		if one == "netcheck" {
			one = "netcheck | ping"
		}
		p("\t\t%s) words='%s' ;;", one, strings.Join(more, " "))
	}
	p(
		"\t\tesac\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n\ncomplete -F " +
			"_wguplink wguplink")
	return b.String()
}

// bash completes what is typed.
func TestCompletionInBash(t *testing.T) {
	for line, want := range map[string]string{
		"wguplink st":                "status",
		"wguplink status --w":        "--watch",
		"wguplink config ch":         "check",
		"wguplink key show --m":      "--make",
		"wguplink run --js":          "",
		"wguplink ping --js":         "--json",
		"wguplink help net":          "netcheck",
		"wguplink status --run /et":  "/etc",
		"wguplink nonsense --":       "",
		"wguplink b":                 "bugreport",
		"wguplink reconnect --uplin": "--uplink",
	} {
		words := strings.Fields(line)
		script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wguplink; echo "${COMPREPLY[*]}"; complete -p wguplink`
		out, err := exec.Command("bash", append([]string{"-c", script, "bash", completion},
			words...)...).CombinedOutput()
		if err != nil || string(out) != want+"\ncomplete -F _wguplink wguplink\n" {
			t.Errorf("%s: %v: %q, want %q", line, err, out, want)
		}
	}
}
