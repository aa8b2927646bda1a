// Command rules says what the agent makes of random values of options, for the test that compares Gluon's side with it.
//
//	rules COUNT SEED SECTION.OPTION...
//
// For each value it writes one line: the value in hexadecimal digits, and for each option 1 if the agent takes the
// value, else 0. Values are good ones of all kinds, whole or with a few random changes.
package main

import (
	"bufio"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"

	"wguplink/agent/config"
	"wguplink/peerselector"
)

// seeds are values that some option takes, or nearly takes.
var seeds = []string{
	"0", "1", "50", "100", "255", "256", "1280", "1406", "8472", "65535", "65536", "16777215", "10000000", "12000000",
	"34359738", "34359739", "4294967295",
	"0x1", "0XffFF0000", "007", "2.5", "0.1", "300", "25.0", "0.0000000001", "99999999999999999999",
	"18446744073709551616",
	"auto", "none", "off", "daily", "yes", "disabled", "static", "wgkex", "parker", "ffac", "kernel", "key",
	"layer3", "64", "128",
	"broker.example.org", "https://broker.example.org:8443/a/b", "http://[2001:db8::1]:80", "broker.example.org/a%20b",
	"HTTPS://a//", "a/../b",
	"user:x@a.example.org", "gw1.example.org:51820", "gw_1.example.org.:1", "300.1.2.3:5", "192.0.2.1:1",
	"[fe80::1]:1", "[2001:db8::1]",
	"1.2.3", "999", "::", "::1", "::::", "fe80::1", "fe80::1:", ":fe80::1", "fe80::2a6:8fff:fe21:5465", "FEBF::",
	"2001:db8:1:2:3:4:5:6",
	"1::2:3:4:5:6:7:8", "::ffff:192.0.2.1", "64:ff9b::192.0.2.33", "1:2:3:4:5:6:1.2.3.4", "fe80::1%eth0", "fe80::/10",
	"10.0.0.0/33", "10.1.2.3/08",
	"224.0.0.251", "255.255.255.255", "0.0.0.0", "127.0.0.1:54", "01.2.3.4", "ff02::1", "-x-", "a-.b",
	"xn--mnchen-3ya.de", "ntp.example.org:123",
	"o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg=", "abc=", "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
	"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", strings.Repeat("aB", 32), strings.Repeat("x", 64),
	strings.Repeat("x", 70),
	"RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7", "ffxx_city", "Frankfurt am Main", "München", "a\u200bb",
	"ä\u00a0", "\xff", "\U0001f600", "日本",
	"wg_mesh", "wg%d", "a/b", "..", "123456789012345", "/etc/ca.pem", "/", "/a/", "fastd.mesh_vpn.secret",
	"a.@b[-1].c", "a.@b[70000].c",
}

const letters = "0123456789abcdefABCDEFgxXz.:/[]@%_-+= \t\nüé\x00\xff~?#"

func value(r *rand.Rand) string {
	b := []byte(seeds[r.Intn(len(seeds))])
	if r.Intn(5) == 0 {
		b = append(b, seeds[r.Intn(len(seeds))]...)
	}
	for n := r.Intn(4); n > 0; n-- {
		at := r.Intn(len(b) + 1)
		c := letters[r.Intn(len(letters))]
		switch {
		case at == len(b) || r.Intn(3) == 0:
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		case r.Intn(2) == 0:
			b[at] = c
		default:
			b = append(b[:at], b[at+1:]...)
		}
	}
	return string(b)
}

func good(place, v string) bool {
	section, option, _ := strings.Cut(place, ".")
	if section == "gateway" {
		_, ok := config.SetGateway(new(peerselector.Peer), option, v)
		return ok
	}
	_, ok := config.SetUplink(new(config.Uplink), option, v)
	return ok
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: rules COUNT SEED SECTION.OPTION...")
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[1])
	seed, err2 := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, "rules: COUNT and SEED are numbers")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	r := rand.New(rand.NewSource(seed))
	for i := 0; i < count+len(seeds); i++ {
		v := ""
		if i < len(seeds) {
			v = seeds[i] // each once as it is
		} else {
			v = value(r)
		}
		fmt.Fprintf(out, "%x ", v)
		for _, place := range os.Args[3:] {
			bit := byte('0')
			if good(place, v) {
				bit = '1'
			}
			out.WriteByte(bit)
		}
		out.WriteByte('\n')
	}
}
