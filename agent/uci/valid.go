package uci

import (
	"errors"
	"fmt"
	"strings"
)

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// isSpace is isspace(3) in the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// validName says whether s can name a section or an option (uci_validate_name).
func validName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return s != ""
}

// validHeader says whether s can stand after "package" in a file.
func validHeader(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

// validType says whether s can be the type of a section (uci_validate_type).
func validType(s string) bool {
	for i := range len(s) {
		if s[i] < 33 || s[i] > 126 {
			return false
		}
	}
	return s != ""
}

// badText gives the place of the first byte of s that a value must not have (uci_validate_text), or -1.
func badText(s string) int {
	for i := range len(s) {
		if c := s[i]; c < 32 && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return -1
}

var (
	errPackage = errors.New("not a package name: use letters, digits, '_' and '-'")
	errName    = errors.New("not a name: use letters, digits and '_'")
	errType    = errors.New("not a section type: use printable ASCII without spaces")
)

// checkPackage keeps to what can be a file of the folder and the first part of package.section.option.
func checkPackage(name string) error {
	if !validType(name) || strings.ContainsAny(name, "./") {
		return fmt.Errorf("%q is %w", name, errPackage)
	}
	return nil
}

// checkValues does not quote the value: it may be a secret.
func checkValues(values []string) error {
	for _, v := range values {
		if i := badText(v); i >= 0 {
			return fmt.Errorf("the value has the control character 0x%02x at byte %d: take it out", v[i], i)
		}
	}
	return nil
}
