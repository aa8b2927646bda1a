// Package mask blots secrets out of text that is handed to others, such as a report.
//
// It works by what is known and by what things look like: secrets that it is told, in each spelling that programs
// print; passwords and queries in URLs; text of a key's shape that is not known to be public; and values that stand
// behind the name of a secret. What is masked by mistake costs a question; what is shown cannot be taken back.
package mask

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// Blot stands in the place of a secret.
const Blot = "***"

// Masker knows secrets, and what only looks like one. The zero value knows none.
type Masker struct {
	secrets []string
	public  []string
}

// shortest is how long a secret must be to be looked for everywhere, in bytes: a shorter one is in half of all words.
const shortest = 4

// Secret tells of values that are never to be shown.
func (m *Masker) Secret(values ...string) {
	for _, v := range values {
		v = strings.TrimSpace(v)
		if len(v) < shortest || slices.Contains(m.secrets, v) {
			continue
		}
		m.secrets = append(m.secrets, v)
		raw := keyOf(v)
		if raw == nil {
			m.secrets = append(m.secrets, url.QueryEscape(v), url.PathEscape(v))
			continue
		}
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding,
			base64.RawURLEncoding} {
			m.secrets = append(m.secrets, e.EncodeToString(raw), url.QueryEscape(e.EncodeToString(raw)))
		}
		m.secrets = append(m.secrets, hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)))
	}
}

// Public tells of values that look like keys and may be shown. A secret stays one.
func (m *Masker) Public(values ...string) { m.public = append(m.public, values...) }

// keyOf is what a key of 32 bytes says, in base64 or as hexadecimal digits; nil for all else.
func keyOf(s string) []byte {
	if len(s) == 64 {
		if raw, err := hex.DecodeString(s); err == nil {
			return raw
		}
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := e.DecodeString(strings.TrimSuffix(s, "=")); err == nil && len(raw) == 32 {
			return raw
		}
	}
	return nil
}

// Text gives the text without secrets.
func (m *Masker) Text(text string) string {
	longest := 0
	for _, s := range m.secrets {
		longest = max(longest, len(s))
	}
	for n := longest; n >= shortest; n-- { // the longest first: one may be part of another
		for _, s := range m.secrets {
			if len(s) == n {
				text = strings.ReplaceAll(text, s, Blot)
			}
		}
	}
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		lines[i] = m.keys(named(urls(line)))
	}
	return strings.Join(lines, "")
}

// urls blots out who logs in, and what is asked.
func urls(line string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(line, "://")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("://")
		end := strings.IndexAny(rest, " \t\n\"'`<>")
		if end < 0 {
			end = len(rest)
		}
		u := rest[:end]
		if at := strings.LastIndexByte(u, '@'); at >= 0 {
			u = Blot + u[at:]
		}
		if q := strings.IndexAny(u, "?#"); q >= 0 {
			u = u[:q+1] + Blot
		}
		b.WriteString(u)
		line = rest[end:]
	}
}

// words are the parts of names by which secrets go.
var words = []string{"private", "preshared", "psk", "secret", "passw", "passphrase", "passwd", "token", "credential",
	"authorization", "api_key", "apikey"}

// Names tells whether an option or field of that name holds a secret.
func Names(name string) bool {
	name = strings.ToLower(name)
	return name == "key" || len(name) == 4 && name[:3] == "key" && name[3] >= '1' && name[3] <= '4' ||
		slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
}

func isName(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// named blots out the value behind the name of a secret: name=value, name: value, "name": "value", option name 'value',
// and values in the arguments of a program, --name value.
func named(line string) string {
	var b strings.Builder
	name := ""
	for i := 0; i < len(line); {
		start := i
		for i < len(line) && isName(line[i]) {
			i++
		}
		if i == start {
			b.WriteByte(line[i])
			i++
			continue
		}
		uci := name == "option" || name == "list"
		name = line[start:i]
		b.WriteString(name)
		if !Names(name) {
			continue
		}
		from := i
		for i < len(line) && strings.IndexByte(" \t:=\"'", line[i]) >= 0 {
			i++
		}
		between := line[from:i]
		b.WriteString(between)
		value := i
		quote := byte(0)
		if n := len(between); n > 0 && (between[n-1] == '"' || between[n-1] == '\'') {
			quote = between[n-1]
		}
		all := strings.EqualFold(name, "authorization") // a word for the method, and the rest
		for i < len(line) && line[i] != '\n' && (all || quote != 0 && line[i] != quote || quote == 0 &&
			strings.IndexByte(" \t,;", line[i]) < 0) {
			i++
		}
		if v := line[value:i]; v != "" && between != "" && (uci || isValue(v, between, quote, name)) {
			b.WriteString(Blot)
		} else {
			i = value // words of a sentence
		}
	}
	return b.String()
}

// isValue tells a value from the next word of a sentence.
func isValue(v, between string, quote byte, name string) bool {
	if strings.HasPrefix(v, Blot) {
		return false
	}
	if strings.ToLower(name) == "key" && quote == 0 && !strings.Contains(between, "=") {
		return false // "the key is", "key show"
	}
	return quote != 0 || strings.Contains(between, "=") || strings.Trim(v, "abcdefghijklmnopqrstuvwxyz.,()") != ""
}

// keys blots out what has the shape of a key of 32 bytes and is not known to be public.
func (m *Masker) keys(line string) string {
	isKey := func(c byte) bool { return c == '+' || c == '/' || c == '=' || isName(c) }
	var b strings.Builder
	for i := 0; i < len(line); {
		start := i
		for i < len(line) && isKey(line[i]) {
			i++
		}
		if i == start {
			b.WriteByte(line[i])
			i++
			continue
		}
		b.WriteString(m.run(line[start:i]))
	}
	return b.String()
}

// run looks at letters without a gap: a key alone, or behind a name and an equals sign, or a path.
func (m *Masker) run(s string) string {
	if slices.Contains(m.public, s) {
		return s
	}
	if keyOf(s) != nil {
		return Blot
	}
	if name, value, ok := strings.Cut(s, "="); ok && value != "" {
		return name + "=" + m.run(value)
	}
	return s
}
