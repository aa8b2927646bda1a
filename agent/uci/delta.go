package uci

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// delta is one staged change, in a line such as "network.lan.proto='static'": a section or option gets a value. A first
// character says what else happens (libuci's delta.c, uci_command_char).
type delta struct {
	// command is 0 set, '+' add an unnamed section, '-' delete, '@' rename, '^' move a section, '|' add to a list, or
	// '~' delete from a list.
	command         byte
	section, option string // option is empty if the change is about the section
	value           string
}

var errDelta = errors.New("not a staged change")

// applyDeltas makes the staged changes in text, as far as they make sense.
func (p *pkg) applyDeltas(text []byte) {
	for l := newLexer(text); l.next(); {
		if len(l.line) == 0 {
			continue
		}
		if d, err := parseDelta(l, p.name); err == nil {
			p.apply(d)
		}
	}
}

// parseDelta reads one line, or several if there is a quoted line end.
func parseDelta(l *lexer, pkg string) (delta, error) {
	word, err := l.word()
	if err != nil {
		return delta{}, err
	}
	if l.pos < len(l.line) || word == "" {
		return delta{}, errDelta
	}
	var d delta
	if strings.IndexByte("+-@^|~", word[0]) >= 0 {
		d.command, word = word[0], word[1:]
	}
	place, value, hasValue := strings.Cut(word, "=")
	parts := strings.Split(place, ".")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != pkg || badText(value) >= 0 || !hasValue && d.command != '-' {
		return delta{}, fmt.Errorf("%q: %w", place, errDelta)
	}
	d.section, d.value = parts[1], value
	if len(parts) == 3 {
		d.option = parts[2]
	}
	valid := validName(d.section) && (len(parts) == 2 || validName(d.option))
	switch d.command {
	case '^':
		valid = valid && len(parts) == 2
	case '|', '~':
		valid = valid && len(parts) == 3
	case '@':
		valid = valid && validName(value)
	}
	if !valid {
		return delta{}, fmt.Errorf("%q: %w", place, errDelta)
	}
	return d, nil
}

// apply makes one change. One about something that is not there is passed over.
func (p *pkg) apply(d delta) {
	s := p.lookup(d.section)
	if d.option == "" {
		p.applySection(s, d)
		return
	}
	if s == nil {
		return
	}
	o := s.option(d.option)
	switch d.command {
	case 0, '+':
		if d.value != "" {
			s.set(d.option, false, d.value)
		} else if o != nil {
			s.remove(o)
		}
	case '|':
		s.append(d.option, d.value)
	case '~':
		if o != nil && o.list {
			o.values = slices.DeleteFunc(o.values, func(v string) bool { return v == d.value })
		}
	case '@':
		if o != nil {
			o.name = d.value
		}
	case '-':
		if o != nil && o.list && d.value != "" {
			// One item, by its index.
			if i, ok := number(d.value); ok && i >= 0 && i < len(o.values) {
				o.values = slices.Delete(o.values, i, i+1)
			}
		} else if o != nil {
			s.remove(o)
		}
	}
}

// applySection makes a change of a section, which is nil if there is none of that name.
func (p *pkg) applySection(s *section, d delta) {
	if d.command == 0 || d.command == '+' {
		switch {
		case d.value == "" && s != nil:
			p.remove(s)
			return
		case !validType(d.value):
			return
		case s == nil:
			s = p.add(d.section, d.value)
		default:
			s.typ = d.value
		}
		if d.command == '+' {
			s.anonymous = true
		}
		return
	}
	if s == nil {
		return
	}
	switch d.command {
	case '-':
		p.remove(s)
	case '@':
		s.name, s.anonymous = d.value, false
	case '^':
		// What is no number is 0, as with strtoul(3).
		index, _ := number(d.value)
		p.move(s, index)
	}
}

// number reads the decimal number that s starts with, kept within 32 bits.
func number(s string) (int, bool) {
	s = strings.TrimLeftFunc(s, func(r rune) bool { return r < 128 && isSpace(byte(r)) })
	end := 0
	for end < len(s) && ('0' <= s[end] && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, false
	}
	return int(max(math.MinInt32, min(n, math.MaxInt32))), true
}
