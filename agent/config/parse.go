package config

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"wguplink/agent/signify"
	"wguplink/peerselector"
)

// The parsers of single values. Each says whether the value is good, and stores it only then.

// allowedBool are the words that OpenWrt's own scripts take.
const allowedBool = "1, true, on, yes, enabled, or 0, false, off, no, disabled"

func parseBool(v string, to *bool) bool {
	switch v {
	case "1", "true", "on", "yes", "enabled":
		*to = true
	case "0", "false", "off", "no", "disabled":
		*to = false
	default:
		return false
	}
	return true
}

// parseNumber takes decimal digits only: no sign, no other base, no underscores.
func parseNumber(v string, lo, hi uint64, to *uint64) bool {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n < lo || n > hi {
		return false
	}
	*to = n
	return true
}

// parseMark takes decimal digits, or hexadecimal ones after 0x.
func parseMark(v string, to *uint32) bool {
	base := 10
	if len(v) > 2 && (v[:2] == "0x" || v[:2] == "0X") {
		v, base = v[2:], 16
	}
	n, err := strconv.ParseUint(v, base, 32)
	if err != nil {
		return false
	}
	*to = uint32(n)
	return true
}

// parseSeconds takes seconds with up to nine decimal places. Floating point is avoided for what else it would accept.
func parseSeconds(v string, lo, hi time.Duration, to *time.Duration) bool {
	whole, fraction, dotted := strings.Cut(v, ".")
	var s, ns uint64
	if !parseNumber(whole, 0, uint64(hi/time.Second), &s) {
		return false
	}
	if dotted {
		if len(fraction) > 9 || !parseNumber(fraction, 0, 999_999_999, &ns) {
			return false
		}
		for i := len(fraction); i < 9; i++ {
			ns *= 10
		}
	}
	d := time.Duration(s)*time.Second + time.Duration(ns)
	if d < lo || d > hi {
		return false
	}
	*to = d
	return true
}

// parseKey takes a WireGuard key in base64 in its only canonical form, which is what brokers and Gluon's site checks
// take: ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw480]=$. The last class are the characters whose two unused bits are zero.
func parseKey(v string, to *peerselector.Key) bool { return parseDigest(v, (*[32]byte)(to)) }

// parsePin takes a SHA-256 digest as "sha256/BASE64" (the form of RFC 7469 tools), "sha256//BASE64" (curl's), plain
// base64 or 64 hexadecimal digits.
func parsePin(v string, to *[32]byte) bool {
	if rest, ok := strings.CutPrefix(v, "sha256/"); ok {
		// The digest may begin with a slash of its own.
		return parseDigest(rest, to) || strings.HasPrefix(rest, "/") && parseDigest(rest[1:], to)
	}
	if len(v) == hex.EncodedLen(len(to)) {
		raw, err := hex.DecodeString(v)
		if err != nil {
			return false
		}
		copy(to[:], raw)
		return true
	}
	return parseDigest(v, to)
}

// parseDigest takes 32 bytes in padded, strict base64. The decoder skips line breaks, so the length is checked first.
func parseDigest(v string, to *[32]byte) bool {
	if len(v) != base64.StdEncoding.EncodedLen(len(to)) {
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(v)
	if err != nil || len(raw) != len(to) {
		return false
	}
	copy(to[:], raw)
	return true
}

// isHex tells whether v is n hexadecimal digits.
func isHex(v string, n int) bool {
	_, err := hex.DecodeString(v)
	return len(v) == n && err == nil
}

// isName tells whether v can be the name of a UCI section or option.
func isName(v string) bool { return onlyOf(v, "_") }

// onlyOf tells whether v is not empty and made of ASCII letters, digits and the characters in more.
func onlyOf(v, more string) bool {
	for i := 0; i < len(v); i++ {
		c := v[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return v != ""
}

const (
	maxText     = 64
	allowedText = "1 to 64 bytes of printable text"
)

// unprintable are ranges of characters that a name cannot have: controls, spaces other than the usual one, marks of
// direction, private use. The site check of Gluon has the same.
var unprintable = []struct{ from, to rune }{
	{0x00, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x2000, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},
	{0xe000, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0x10ffff},
}

// isText tells whether v is something that a person would call a name, in any language.
func isText(v string) bool {
	if v == "" || len(v) > maxText || !utf8.ValidString(v) {
		return false
	}
	for _, r := range v {
		for _, u := range unprintable {
			if u.from <= r && r <= u.to {
				return false
			}
		}
	}
	return true
}

const allowedLink = "1 to 15 printable characters without space, /, : or %, and not . or .."

// isLink tells whether the kernel takes v as the name of a link (dev_valid_name in net/core/dev.c). It would read a %
// as a pattern for numbering.
func isLink(v string) bool {
	const ifnamsiz = 16 // with the NUL at the end
	if v == "" || len(v) >= ifnamsiz || v == "." || v == ".." {
		return false
	}
	for i := 0; i < len(v); i++ {
		if v[i] <= ' ' || v[i] >= 0x7f || strings.IndexByte("/:%", v[i]) >= 0 {
			return false
		}
	}
	return true
}

// isPath tells whether v is an absolute path of a file.
func isPath(v string) bool {
	if len(v) < 2 || len(v) > 4095 || v[0] != '/' || v[len(v)-1] == '/' {
		return false
	}
	for i := 0; i < len(v); i++ {
		if v[i] < ' ' || v[i] == 0x7f {
			return false
		}
	}
	return true
}

// isPlace tells whether v is "package.section.option", the section by name or as "@type[index]".
func isPlace(v string) bool {
	pkg, rest, _ := strings.Cut(v, ".")
	section, option, _ := strings.Cut(rest, ".")
	if !onlyOf(pkg, "_-") || !isName(option) {
		return false
	}
	if !strings.HasPrefix(section, "@") {
		return isName(section)
	}
	typ, index, ok := strings.Cut(section[1:], "[")
	if !ok || !onlyOf(typ, "_-") || !strings.HasSuffix(index, "]") {
		return false
	}
	var n uint64
	return parseNumber(strings.TrimPrefix(strings.TrimSuffix(index, "]"), "-"), 0, 1<<16, &n)
}

// parseSigningKey takes the line of a signify public key, without the comment above it: UCI values are for one line.
func parseSigningKey(v string, to *signify.PublicKey) bool {
	k, err := signify.ParsePublicKey(v)
	return store(err == nil && !strings.ContainsAny(v, " \r\n"), k, to)
}
