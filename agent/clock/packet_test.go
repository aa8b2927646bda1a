package clock

import (
	"encoding/binary"
	"testing"
	"time"
)

// header makes the header of an answer with the times given.
func header(reference, receive, transmit time.Time) []byte {
	h := make([]byte, headerSize)
	h[0], h[stratumAt] = version4|modeServer, 2
	for at, t := range map[int]time.Time{referenceAt: reference, receiveAt: receive, transmitAt: transmit} {
		seconds := t.Unix() - epoch.Unix()
		binary.BigEndian.PutUint32(h[at:], uint32(seconds)) // modulo an era
		binary.BigEndian.PutUint32(h[at+4:], uint32((uint64(t.Nanosecond())<<32)/uint64(time.Second)))
	}
	return h
}

func TestPacketTimes(t *testing.T) {
	for _, now := range []time.Time{
		time.Date(2026, 8, 15, 12, 0, 0, 0, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 15, 0, time.UTC), // the last second of NTP's first era
		time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC), // the first of its second
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC), // one more than 32 bits of Unix time have
		time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		p := packet{header: header(now.Add(-time.Minute), now, now.Add(500*time.Millisecond))}
		if err := p.check(2 * time.Second); err != nil || p.wrong() != "" {
			t.Errorf("%v: %v, %q", now, err, p.wrong())
		}
		if got := p.transmit(); !got.Equal(now.Add(500 * time.Millisecond)) {
			t.Errorf("%v: sent at %v", now, got)
		}
		if p.rtt != 1500*time.Millisecond {
			t.Errorf("%v: round trip %v", now, p.rtt)
		}
	}
	// A server that says it took longer than all took leaves nothing for the line.
	now := time.Date(2026, 8, 15, 12, 0, 0, 0, time.UTC)
	p := packet{header: header(now, now, now.Add(time.Hour))}
	if err := p.check(time.Second); err != nil || p.rtt != 0 {
		t.Errorf("round trip %v, %v", p.rtt, err)
	}
	binary.BigEndian.PutUint32(p.header[rootDelayAt:], 3<<16|0x8000)
	binary.BigEndian.PutUint32(p.header[dispersionAt:], 0x4000)
	if got := p.distance(); got != 2*time.Second {
		t.Errorf("distance %v", got)
	}
}

// FuzzPacket: no packet makes the checks fail in another way than by saying so.
func FuzzPacket(f *testing.F) {
	now := time.Date(2026, 8, 15, 12, 0, 0, 0, time.UTC)
	f.Add(header(now, now, now))
	f.Fuzz(func(t *testing.T, h []byte) {
		if len(h) < headerSize {
			return
		}
		p := packet{header: h[:headerSize]}
		if err := p.check(time.Second); err == nil && (p.rtt < 0 || p.rtt > time.Second) {
			t.Errorf("round trip %v", p.rtt)
		}
		if p.wrong() == "" && (p.distance() < 0 || p.distance() > maxDistance+time.Second) {
			t.Errorf("distance %v", p.distance())
		}
	})
}
