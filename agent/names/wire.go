package names

import (
	"encoding/binary"
	"strings"
	"sync"
)

// The parts of a DNS message that are looked at (RFC 1035 section 4.1): its header has 12 bytes, the counts of records
// in the last eight of them, and a response code in the low bits of the fourth.
const (
	headerSize = 12
	flagsAt    = 2
	codeAt     = 3
	countsAt   = 4
	answersAt  = 6
)

// truncated in the flags is TC.
const truncated = 2

// optSize is the size of an EDNS0 record without options: root name, type, class, TTL and length (RFC 6891 section
// 6.1.2).
const optSize = 11

// withoutEDNS gives a question without the EDNS0 record that package net has put at its end, which is its only
// additional record; any other message comes back as it is.
func withoutEDNS(m []byte) []byte {
	const typeOPT = 41
	if len(m) < headerSize+optSize || binary.BigEndian.Uint64(m[countsAt:]) != 1<<48|1 {
		return m
	}
	opt := m[len(m)-optSize:]
	if opt[0] != 0 || binary.BigEndian.Uint16(opt[1:]) != typeOPT || binary.BigEndian.Uint16(opt[9:]) != 0 {
		return m
	}
	m = append([]byte(nil), m[:len(m)-optSize]...)
	m[headerSize-1] = 0
	return m
}

// codes are the response codes that name servers gave for a name, beside what package net makes of them.
type codes struct {
	host string

	mu          sync.Mutex
	found, none bool               // an answer said that the name exists; that the server cannot tell
	short       map[[2]byte][]byte // answers that were cut to fit into UDP, by the id of their question
}

// note takes an answer.
func (c *codes) note(m []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case refusal(m):
		c.none = true
	case m[codeAt]&0xf == 0 && strings.EqualFold(question(m), strings.TrimSuffix(c.host, ".")):
		c.found = true
	}
}

// keep remembers an answer that was cut (RFC 1035 section 4.1.1, TC) and has addresses, or may lead to some.
func (c *codes) keep(m []byte) {
	if m[flagsAt]&truncated == 0 || binary.BigEndian.Uint16(m[answersAt:]) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.short == nil {
		c.short = make(map[[2]byte][]byte)
	}
	m = append([]byte(nil), m...)
	m[flagsAt] &^= truncated
	c.short[[2]byte(m)] = m
}

// kept gives the remembered answer to a question; nil when there is none.
func (c *codes) kept(id [2]byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.short[id]
}

func (c *codes) exists() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

func (c *codes) refused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.none
}

// question gives the name in the question of a message; "" where there is none.
func question(m []byte) string {
	var labels []string
	for at := headerSize; at < len(m) && m[at] != 0; {
		next := at + 1 + int(m[at])
		if m[at] > 63 || next > len(m) {
			return ""
		}
		labels = append(labels, string(m[at+1:next]))
		at = next
	}
	return strings.Join(labels, ".")
}

// refusal tells by the response code whether an answer is neither data nor "no such name".
func refusal(m []byte) bool {
	const noError, nameError = 0, 3
	code := m[codeAt] & 0xf
	return code != noError && code != nameError
}
