//go:build !nobroker

package broker

import (
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
)

const (
	defaultAgent   = "wguplink"
	maxReleaseFile = 4 << 10 // bytes
	maxHeaderValue = 512     // characters
)

// Board is what ubus tells about the device (`system board`). A field that is empty is read from its file instead.
type Board struct {
	Name    string // board_name, e.g. "tplink,archer-c7-v2"
	Kernel  string // e.g. "5.15.167"
	Release string // OpenWrt's version, e.g. "23.05.5"
	Target  string // e.g. "ath79/generic"
}

// Release is the firmware's version as Gluon has it, read below root; "" where there is none.
func Release(root string) string { return headerValue(line(root, "lib/gluon/release")) }

// Identify makes the headers by which operators know their nodes, as the original node script of
// freifunk-gluon/community-packages (ffmuc-mesh-vpn-wireguard-vxlan) sends them:
//
//	User-Agent: gluon/<gluon> (<board_name>) OpenWrt/<ver> (kernel/<kernel>; <target>) firmware/<release>
//
// and the same values in X-Gluon-Version, X-Board-Name, X-Openwrt-Version, X-Kernel-Version, X-Target-Name and
// X-Firmware-Version. What is not known is left out in both. Files are read below root, "/" on a router.
func Identify(root string, board Board) textproto.MIMEHeader {
	gluon := headerValue(line(root, "lib/gluon/gluon-version"))
	firmware := Release(root)
	release := readFile(root, "etc/openwrt_release")
	name := first(board.Name, line(root, "tmp/sysinfo/board_name"))
	version := first(board.Release, shellValue(release, "DISTRIB_RELEASE"))
	target := first(board.Target, shellValue(release, "DISTRIB_TARGET"))
	kernel := first(board.Kernel, line(root, "proc/sys/kernel/osrelease"))

	h := make(textproto.MIMEHeader)
	var agent []string
	add := func(header, value, inAgent string) {
		if value == "" {
			return
		}
		h.Set(header, value)
		if inAgent != "" {
			agent = append(agent, inAgent)
		}
	}
	add("X-Gluon-Version", gluon, "gluon/"+gluon)
	add("X-Board-Name", name, "("+name+")")
	add("X-Openwrt-Version", version, "OpenWrt/"+version)
	add("X-Kernel-Version", kernel, "")
	add("X-Target-Name", target, "")
	switch {
	case kernel != "" && target != "":
		agent = append(agent, "(kernel/"+kernel+"; "+target+")")
	case kernel != "":
		agent = append(agent, "(kernel/"+kernel+")")
	case target != "":
		agent = append(agent, "("+target+")")
	}
	add("X-Firmware-Version", firmware, "firmware/"+firmware)
	if len(agent) == 0 {
		agent = []string{defaultAgent}
	}
	h.Set("User-Agent", strings.Join(agent, " "))
	return h
}

func first(values ...string) string {
	for _, v := range values {
		if v = headerValue(v); v != "" {
			return v
		}
	}
	return ""
}

// headerValue keeps what may stand in a header field (RFC 9110 section 5.5), without the bytes above ASCII.
func headerValue(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxHeaderValue; i++ {
		if s[i] >= ' ' && s[i] <= '~' {
			b.WriteByte(s[i])
		}
	}
	return strings.TrimSpace(b.String())
}

// readFile gives the start of a file; what cannot be read is empty, as on a system without Gluon.
func readFile(root, name string) string {
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxReleaseFile))
	if err != nil {
		return ""
	}
	return string(b)
}

func line(root, name string) string {
	s, _, _ := strings.Cut(readFile(root, name), "\n")
	return s
}

// shellValue finds NAME='value' in a file that a shell sources, as /etc/openwrt_release is.
func shellValue(file, name string) string {
	for _, l := range strings.Split(file, "\n") {
		v, ok := strings.CutPrefix(strings.TrimSpace(l), name+"=")
		if !ok {
			continue
		}
		if n := len(v); n >= 2 && (v[0] == '\'' || v[0] == '"') && v[n-1] == v[0] {
			v = v[1 : n-1]
		}
		return v
	}
	return ""
}
