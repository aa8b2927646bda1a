package wireguard

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// This file speaks to a process that does WireGuard, by lines of key=value on a Unix socket
// (www.wireguard.com/xplatform/#configuration-protocol).

// sockets is where these processes have them.
const sockets = "/var/run/wireguard"

// answerWithin is how long a process may take. It answers at once, unless it is broken or stopped.
const answerWithin = time.Minute

// listSockets gives the names of the devices that have a socket.
func listSockets() (names []string) {
	files, _ := os.ReadDir(sockets)
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".sock"); ok && f.Type() == os.ModeSocket {
			names = append(names, name)
		}
	}
	return names
}

// connect opens the socket of a device, and says what is wanted. The error is os.ErrNotExist when the device has none.
func connect(name, request string) (net.Conn, error) {
	path := filepath.Join(sockets, name+".sock")
	if is, err := os.Stat(path); filepath.Dir(path) != sockets || err != nil || is.Mode().Type() != os.ModeSocket {
		return nil, os.ErrNotExist
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(answerWithin))
	if _, err := io.WriteString(c, request+"\n"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func readSocket(name string) (*wgtypes.Device, error) {
	c, err := connect(name, "get=1\n")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	d := &wgtypes.Device{Name: name, Type: wgtypes.Userspace}
	if err := answer(c, func(key, value string) error { return setField(d, key, value) }); err != nil {
		return nil, err
	}
	if d.PrivateKey != (wgtypes.Key{}) {
		d.PublicKey = d.PrivateKey.PublicKey()
	}
	return d, nil
}

func writeSocket(name string, cfg wgtypes.Config) error {
	c, err := connect(name, "set=1\n"+settings(cfg))
	if err != nil {
		return err
	}
	defer c.Close()
	return answer(c, func(string, string) error { return nil })
}

// answer hands over each line until the empty one at the end. The error is the syscall.Errno of the process's own errno
// line.
func answer(r io.Reader, take func(key, value string) error) error {
	s := bufio.NewScanner(r)
	var bad, failed error
	for s.Scan() {
		key, value, ok := strings.Cut(s.Text(), "=")
		switch {
		case s.Text() == "":
			if failed != nil {
				return failed
			}
			return bad
		case key == "errno":
			if n, err := strconv.ParseInt(value, 10, 32); err != nil {
				bad = unreadable(key)
			} else if n != 0 { // wireguard-go writes it below zero
				failed = syscall.Errno(max(n, -n))
			}
		case bad != nil:
		case !ok:
			bad = unreadable("")
		case take(key, value) != nil:
			bad = unreadable(key)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the WireGuard process ends in its answer: %w", io.ErrUnexpectedEOF)
}

// unreadable does not say what stands after the name, because that may be a key.
func unreadable(name string) error {
	return fmt.Errorf("the WireGuard process's answer has a line %q that cannot be read", name)
}

// setField takes one line of a device: first its own, then those of each peer after the peer's public key.
func setField(d *wgtypes.Device, key, value string) (err error) {
	if key == "public_key" {
		d.Peers = append(d.Peers, wgtypes.Peer{})
	}
	if len(d.Peers) > 0 {
		return setPeer(&d.Peers[len(d.Peers)-1], key, value)
	}
	switch key {
	case "private_key":
		d.PrivateKey, err = hexKey(value)
	case "listen_port":
		d.ListenPort, err = strconv.Atoi(value)
	case "fwmark":
		mark, e := strconv.ParseUint(value, 10, 32)
		d.FirewallMark, err = int(mark), e
	}
	return err
}

func setPeer(p *wgtypes.Peer, key, value string) (err error) {
	n := int64(0)
	switch key {
	case "public_key":
		p.PublicKey, err = hexKey(value)
		return err
	case "preshared_key":
		p.PresharedKey, err = hexKey(value)
		return err
	case "endpoint":
		a, err := netip.ParseAddrPort(value)
		p.Endpoint = net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		return err
	case "allowed_ip":
		r, err := netip.ParsePrefix(value)
		if err == nil {
			p.AllowedIPs = append(p.AllowedIPs, net.IPNet{IP: r.Masked().Addr().AsSlice(),
				Mask: net.CIDRMask(r.Bits(), r.Addr().BitLen())})
		}
		return err
	case "last_handshake_time_sec", "last_handshake_time_nsec", "tx_bytes", "rx_bytes", "persistent_keepalive_interval",
		"protocol_version":
		n, err = strconv.ParseInt(value, 10, 64)
	}
	switch key {
	case "last_handshake_time_sec":
		p.LastHandshakeTime = moment(n, 0)
	case "last_handshake_time_nsec":
		if p.LastHandshakeTime.IsZero() {
			p.LastHandshakeTime = moment(0, n)
		} else {
			p.LastHandshakeTime = p.LastHandshakeTime.Add(time.Duration(n))
		}
	case "tx_bytes":
		p.TransmitBytes = n
	case "rx_bytes":
		p.ReceiveBytes = n
	case "persistent_keepalive_interval":
		p.PersistentKeepaliveInterval = time.Duration(n) * time.Second
	case "protocol_version":
		p.ProtocolVersion = int(n)
	}
	return err
}

// moment is the time of a handshake, the zero one when there was none.
func moment(sec, nsec int64) time.Time {
	if sec <= 0 && nsec <= 0 {
		return time.Time{}
	}
	return time.Unix(sec, nsec)
}

func hexKey(s string) (k wgtypes.Key, err error) {
	b, err := hex.DecodeString(s)
	if err == nil && len(b) != len(k) {
		err = errors.New("no key")
	}
	copy(k[:], b)
	return k, err
}

// settings are the lines that make a configuration.
func settings(cfg wgtypes.Config) string {
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + "=" + value + "\n") }
	if cfg.PrivateKey != nil {
		line("private_key", hex.EncodeToString(cfg.PrivateKey[:]))
	}
	if cfg.ListenPort != nil {
		line("listen_port", strconv.Itoa(*cfg.ListenPort))
	}
	if cfg.FirewallMark != nil {
		line("fwmark", strconv.FormatUint(uint64(uint32(*cfg.FirewallMark)), 10))
	}
	if cfg.ReplacePeers {
		line("replace_peers", "true")
	}
	for _, p := range cfg.Peers {
		line("public_key", hex.EncodeToString(p.PublicKey[:]))
		if p.Remove {
			line("remove", "true")
		}
		if p.UpdateOnly {
			line("update_only", "true")
		}
		if p.PresharedKey != nil {
			line("preshared_key", hex.EncodeToString(p.PresharedKey[:]))
		}
		if p.Endpoint != nil {
			line("endpoint", p.Endpoint.String())
		}
		if p.PersistentKeepaliveInterval != nil {
			line("persistent_keepalive_interval", strconv.Itoa(int(*p.PersistentKeepaliveInterval/time.Second)))
		}
		if p.ReplaceAllowedIPs {
			line("replace_allowed_ips", "true")
		}
		for _, n := range p.AllowedIPs {
			line("allowed_ip", n.String())
		}
	}
	return b.String()
}
