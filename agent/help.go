package main

import (
	"fmt"
	"io"
	"strings"
)

// overview lists the commands and what is common to them, in at most 80 columns.
func overview(w io.Writer) {
	io.WriteString(w,
		"wguplink brings a community router's mesh online: WireGuard and VXLAN.\n\nUsage: wguplink COMMAND "+
			"[OPTION]...\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-22s %s\n", strings.TrimSpace(v.name+" "+v.args), v.short)
	}
	fmt.Fprintf(w, "  %-22s %s\n\nOptions of all commands:\n", "wgpeerselector ...",
		"the drop-in for Gluon's wgpeerselector; see its --help")
	var o options
	listFlags(w, o.flags(), func(f setting) bool { return f.common })
	io.WriteString(w, exitCodes)
}

const exitCodes = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 another wguplink runs the
uplink. status: 0 connected, 4 nothing runs it, 5 not connected, 6 impaired.
doctor: 10 to 19, the first stage that failed.
`

// explain is the help of one command, in at most 80 columns.
func explain(w io.Writer, v *verb) {
	var o options
	all := o.flags()
	usage := "Usage: wguplink " + v.name
	for _, f := range all {
		if !f.common && v.takes(f) {
			usage += " [" + strings.TrimSpace(f.name+" "+f.value) + "]"
		}
	}
	fmt.Fprintf(w, "%s\n\n%s%s.\n", strings.TrimSpace(usage+" "+v.args), strings.ToUpper(v.short[:1]), v.short[1:])
	text, examples := manual(v.name)
	if text != "" {
		fmt.Fprintf(w, "\n%s\n", text)
	}
	io.WriteString(w, "\nOptions:\n")
	listFlags(w, all, v.takes)
	if len(examples) > 0 {
		io.WriteString(w, "\nExamples:\n")
	}
	for _, e := range examples {
		fmt.Fprintf(w, "  %s\n      %s\n", e[0], e[1])
	}
}

func listFlags(w io.Writer, all []setting, which func(setting) bool) {
	for _, f := range all {
		if which(f) {
			fmt.Fprintf(w, "  %-17s %s\n", strings.TrimSpace(f.name+" "+f.value), f.short)
		}
	}
}

// helpAbout is the command help.
func helpAbout(c call) int {
	if len(c.args) == 0 {
		overview(c.stdout)
		return exitOK
	}
	name := strings.Join(c.args, " ")
	v := find(name)
	if v == nil {
		fmt.Fprintln(c.stderr, "wguplink help:", unknown(name))
		return exitUsage
	}
	explain(c.stdout, v)
	return exitOK
}
