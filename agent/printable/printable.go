// Package printable makes text that a stranger sent fit for a log line.
package printable

import (
	"strconv"
	"strings"
)

// Text gives at most n characters of s in one line: what is not printable, or would turn the text around, becomes a
// question mark.
func Text(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if n == 0 {
			b.WriteString("…")
			break
		}
		n--
		switch {
		case r == '\n' || r == '\t':
			r = ' '
		case !strconv.IsPrint(r):
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
