package peerselector

import "time"

// history is what the line has shown of late: how long its answers took, how much that varied, and how long its
// silences were. It belongs to the line, and outlives a change of the gateway.
//
// The mean and the deviation of the answers are those of RFC 6298, which TCP takes its retransmission timeout from.
// That what has been seen decides how long a silence is suspected, and not a constant, is the idea of the phi-accrual
// failure detector (Hayashibara et al., "The φ Accrual Failure Detector", SRDS 2004). Its normal distribution does not
// fit lines that fall silent in bursts, so the longest silence of late stands in the place of the distribution's tail.
type history struct {
	known    bool
	mean     time.Duration // SRTT in RFC 6298
	off      time.Duration // RTTVAR
	worst    [2]time.Duration
	turnedAt time.Time // when worst[0], the present span's, began
}

// answered takes the round trip of an answer.
func (h *history) answered(rtt time.Duration, now time.Time) {
	h.keep(rtt, now)
	// RFC 6298, section 2, with its alpha of 1/8 and beta of 1/4.
	if !h.known {
		h.known, h.mean, h.off = true, rtt, rtt/2
		return
	}
	h.off += ((h.mean - rtt).Abs() - h.off) / 4
	h.mean += (rtt - h.mean) / 8
}

// ended takes the length of a silence, from its first probe on. What is longer than any line's burst is an outage,
// which says little about the next silence.
func (h *history) ended(silence time.Duration, now time.Time, t Timing) {
	h.keep(min(silence, max(t.MaxBurst, 3*h.mean)), now)
}

// keep remembers the longest for one to two spans.
func (h *history) keep(d time.Duration, now time.Time) {
	switch age := now.Sub(h.turnedAt); {
	case age >= 2*historySpan:
		h.worst, h.turnedAt = [2]time.Duration{}, now
	case age >= historySpan:
		h.worst, h.turnedAt = [2]time.Duration{0, h.worst[0]}, now
	}
	h.worst[0] = max(h.worst[0], d)
}

// historySpan is how long the longest silence is remembered at least.
const historySpan = 5 * time.Minute

// handshaking is how long WireGuard may need for a session where handshakes get lost as other packets do.
func (h *history) handshaking(t Timing) time.Duration { return handshakeTries * h.patience(t) }

// handshakeTries are the tries at a handshake that may fail in a row: WireGuard has as many in handshaking on a line
// whose answers take as long as its REKEY_TIMEOUT (5 s, WireGuard paper, section 6.1).
const handshakeTries = 6

// other forgets what the round trips to another gateway were; bursts are the line's.
func (h *history) other() { h.known, h.mean, h.off = false, 0, 0 }

// patience is how long an answer to a probe may take before others are tried: the RTO of RFC 6298, with another least
// value, for a trial costs a packet only.
func (h *history) patience(t Timing) time.Duration {
	if !h.known {
		return t.Unknown
	}
	return max(t.Early, h.mean+max(granularity, 4*h.off))
}

// granularity stands for the clock's in RFC 6298: a line without any deviation gets that much.
const granularity = 100 * time.Millisecond

// proof is how long a silence must be, from its first probe on, before the gateway in use may be left: longer by a
// quarter than each that has ended of late, and long enough for a second question to be answered.
func (h *history) proof(t Timing) time.Duration {
	worst := max(h.worst[0], h.worst[1])
	return max(t.Leave, 2*h.patience(t), worst+worst/4)
}
