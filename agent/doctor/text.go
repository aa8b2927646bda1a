package doctor

import (
	"strconv"
	"strings"
	"time"
)

// oneLine keeps an error of several lines on one.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// round leaves out what is of no use in a long span.
func round(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return count(int(d/day), "day")
	}
	return d.Round(time.Second).String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
