package status

import (
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	for seconds, want := range map[int64]string{
		0: "0 seconds", 1: "1 second", 59: "59 seconds", 60: "1 minute", 83: "1 minute, 23 seconds", 3600: "1 hour",
		3601: "1 hour", 7260: "2 hours, 1 minute", 312*3600 + 4*60 + 5: "13 days",
		312*3600 + 3600*2: "13 days, 2 hours",
		365*86400 + 86400: "1 year, 1 day", -4: "0 seconds",
	} {
		if got := Age(seconds, 2); got != want {
			t.Errorf("%d s: %s, want %s", seconds, got, want)
		}
	}
	if got := Age(312*3600+4*60+5, 5); got != "13 days, 4 minutes, 5 seconds" {
		t.Errorf("in full: %s", got)
	}
	if Ago(0) != "now" || Ago(61) != "1 minute, 1 second ago" {
		t.Errorf("%s, %s", Ago(0), Ago(61))
	}
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 1<<20 - 1: "1023.99 KiB", 1 << 20: "1.00 MiB",
		5 << 30: "5.00 GiB", 3<<40 + 3<<39: "4.50 TiB", 1<<63 - 1: "8191.99 PiB", 7 << 50: "7.00 PiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.0 ms", 430 * time.Microsecond: "0.4 ms", 9999 * time.Microsecond: "9.9 ms",
		25500 * time.Microsecond: "25 ms",
		time.Second:              "1.0 s", 5340 * time.Millisecond: "5.3 s",
	} {
		if got := Trip(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 uplinks", 1: "1 uplink", 2: "2 uplinks"} {
		if got := Count(n, "uplink"); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
