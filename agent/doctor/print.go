package doctor

import (
	"fmt"
	"io"
)

// Print writes a finding for people: one line, and one more with the remedy.
func Print(w io.Writer, f Finding) {
	text := f.Detail
	if f.Cause != "" {
		text = f.Cause
		if f.Detail != "" {
			text += " (" + f.Detail + ")"
		}
	}
	fmt.Fprintf(w, "%-9s  %s  %s\n", f.Stage, f.Outcome, text)
	if f.Remedy != "" {
		fmt.Fprintf(w, "%-9s        -> %s\n", "", f.Remedy)
	}
}
