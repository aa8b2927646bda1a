package clock

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// The header of an NTP packet: RFC 5905, section 7.3.
const (
	headerSize   = 48
	stratumAt    = 1
	rootDelayAt  = 4
	dispersionAt = 8
	kissCodeAt   = 12
	referenceAt  = 16
	originAt     = 24
	receiveAt    = 32
	transmitAt   = 40

	version4   = 4 << 3
	modeClient = 3
	modeServer = 4
	notInSync  = 3 // leap indicator

	maxStratum   = 16                      // not synchronised; RFC 5905, figure 11
	maxDistance  = 16 * time.Second        // MAXDISP there
	maxStaleness = (1 << 17) * time.Second // MAXPOLL there
)

// epoch is where NTP's seconds begin (RFC 5905, section 6).
var epoch = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// packet is the header of an answer, with when it came.
type packet struct {
	header []byte
	rtt    time.Duration // without the time that the server took
	at     time.Time
}

func (p packet) stratum() int            { return int(p.header[stratumAt]) }
func (p packet) leap() int               { return int(p.header[0] >> 6) }
func (p packet) kissCode() string        { return string(p.header[kissCodeAt : kissCodeAt+4]) }
func (p packet) reference() time.Time    { return p.stamp(referenceAt) }
func (p packet) transmit() time.Time     { return p.stamp(transmitAt) }
func (p packet) field(at int) uint64     { return binary.BigEndian.Uint64(p.header[at:]) }
func (p packet) stamp(at int) time.Time  { return unfold(epoch.Add(span(p.field(at)))) }
func (p packet) spread() time.Duration   { return p.short(rootDelayAt)/2 + p.short(dispersionAt) }
func (p packet) distance() time.Duration { return p.spread() + p.rtt/2 }

// short reads a time of 16 bits of seconds and 16 of fraction.
func (p packet) short(at int) time.Duration {
	return span(uint64(binary.BigEndian.Uint32(p.header[at:])) << 16)
}

// span is a time of 32 bits of seconds and 32 of fraction.
func span(t uint64) time.Duration {
	return time.Duration(t>>32)*time.Second + time.Duration((t&0xffffffff)*uint64(time.Second)>>32)
}

// swap sends one question, and waits for its answer. It drops what does not answer it, so that a forged packet that
// comes first does not shut out the true one; dropped says what. With an error the packet may be there, and be a kiss
// of death.
func swap(conn net.Conn) (p packet, dropped string, err error) {
	q := make([]byte, headerSize)
	q[0] = version4 | modeClient
	// Not our clock, but a number that an answer must repeat: it does not tell what time it is here.
	if _, err := rand.Read(q[transmitAt:]); err != nil {
		return p, "", err
	}
	sent := time.Now()
	if _, err := conn.Write(q); err != nil {
		return p, "", err
	}
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return p, dropped, err
		}
		switch {
		case n < headerSize:
			dropped = fmt.Sprintf("dropped a packet of %d bytes, an answer has at least %d", n, headerSize)
		case string(buf[originAt:originAt+8]) != string(q[transmitAt:]):
			dropped = fmt.Sprintf("dropped a packet that answers no question of ours, origin timestamp %#x",
				binary.BigEndian.Uint64(buf[originAt:]))
		default:
			p = packet{header: buf[:headerSize], at: time.Now()}
			return p, "", p.check(p.at.Sub(sent))
		}
	}
}

// check finds what makes an answer useless, and takes the round trip of which the server took a part.
func (p *packet) check(took time.Duration) error {
	received, transmitted := p.field(receiveAt), p.field(transmitAt)
	switch {
	case p.header[0]&7 != modeServer:
		return fmt.Errorf("not the answer of a server, but of mode %d", p.header[0]&7)
	case transmitted == 0:
		return errors.New("the answer has no time")
	case received > transmitted:
		return errors.New("the answer was sent before the question came in")
	}
	p.rtt = max(took-span(transmitted-received), 0)
	return nil
}

// wrong says why a server's time is not worth having; "" when it is.
func (p packet) wrong() string {
	age := p.transmit().Sub(p.reference())
	switch {
	case p.stratum() >= maxStratum:
		return "stratum too high"
	case age > maxStaleness:
		return "clock set too long ago"
	case p.spread() > maxDistance:
		return "root distance too large"
	case age < 0:
		return "clock set after the answer"
	case p.leap() == notInSync:
		return "not synchronised"
	}
	return ""
}
