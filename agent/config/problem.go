package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// File is the file to edit.
	File string
	// Section is the name of the section; one without a name is written "@type[index]", as uci(1) does.
	Section string
	// Option is the name of the option; "" when the section itself is wrong.
	Option string
	// Value is the offending value; "" when it is missing, or not for other eyes.
	Value string
	// Reason says what is wrong with it, in a few words.
	Reason string
	// Allowed says what would be right.
	Allowed string
}

// maxShown is how much of a value a message repeats, in bytes.
const maxShown = 200

// Error returns one line with everything in it.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	b.WriteString(": section ")
	b.WriteString(quote(p.Section))
	if p.Option != "" {
		b.WriteString(", option ")
		b.WriteString(quote(p.Option))
	}
	if p.Value != "" {
		b.WriteString(", value ")
		b.WriteString(quote(p.Value))
	}
	b.WriteString(": ")
	b.WriteString(p.Reason)
	if p.Allowed != "" {
		b.WriteString("; allowed: ")
		b.WriteString(p.Allowed)
	}
	return b.String()
}

// Problems is every Problem of a configuration, in the order of its sections.
type Problems []Problem

// Error returns one line for each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// quote keeps any value on one line and the line readable.
func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) && end > maxShown-utf8.UTFMax {
		end--
	}
	return strconv.Quote(s[:end]) + "..."
}

// hidePassword blots out the password of a URL, so that a message about it can be shown around.
func hidePassword(s string) string {
	start := 0
	if i := strings.Index(s, "://"); i >= 0 {
		start = i + len("://")
	}
	at := strings.LastIndexByte(s, '@')
	if at < start {
		return s
	}
	colon := strings.IndexByte(s[start:at], ':')
	if colon < 0 {
		return s
	}
	return s[:start+colon+1] + "xxxxx" + s[at:]
}
