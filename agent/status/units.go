package status

import (
	"strconv"
	"strings"
	"time"
)

// Age writes a span in seconds as wg does, with its largest units, at most that many: 13 days, 4 hours.
func Age(seconds int64, units int) string {
	var parts []string
	seconds = max(0, seconds)
	for _, u := range [...]struct {
		name string
		in   int64
	}{{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := seconds / u.in
		seconds %= u.in
		if n == 0 {
			if len(parts) > 0 {
				units-- // 1 day and some seconds are 1 day
			}
		} else if units--; units >= 0 {
			parts = append(parts, Count(n, u.name))
		}
	}
	if parts == nil {
		return "0 seconds"
	}
	return strings.Join(parts, ", ")
}

// Ago writes how long ago something was.
func Ago(seconds int64) string {
	if seconds <= 0 {
		return "now"
	}
	return Age(seconds, 2) + " ago"
}

// Count writes a number of things: 1 uplink, 2 uplinks, 0 uplinks.
func Count[T int | int64](n T, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + what
}

// Bytes writes an amount of data as wg does: 512 B, 1.21 MiB.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	// In whole numbers: many routers have no floating point unit. Cut to two digits, not rounded.
	unit, div := 0, int64(1024)
	for n/div >= 1024 && unit < 4 {
		unit, div = unit+1, div<<10
	}
	hundredths := n % div * 100 / div
	frac := strconv.FormatInt(100+hundredths, 10)[1:]
	return strconv.FormatInt(n/div, 10) + "." + frac + " " + string("KMGTP"[unit]) + "iB"
}

// Trip writes a round trip: 0.4 ms, 25 ms, 1.2 s.
func Trip(d time.Duration) string {
	tenths := func(of time.Duration, unit string) string {
		n := int64(d / (of / 10))
		return strconv.FormatInt(n/10, 10) + "." + strconv.FormatInt(n%10, 10) + unit
	}
	switch {
	case d >= time.Second:
		return tenths(time.Second, " s")
	case d >= 10*time.Millisecond:
		return strconv.FormatInt(int64(d/time.Millisecond), 10) + " ms"
	}
	return tenths(time.Millisecond, " ms")
}
