package wgdevice

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// userspaceDevice is wireguard-go inside this process, driven by function calls instead of its UAPI socket.
type userspaceDevice struct {
	name string
	dev  *device.Device
}

// openUserspace makes a tun device and a wireguard-go on it. It opens the tun itself because wireguard-go's CreateTUN
// watches the link: when that goes up or down the device follows, on a goroutine of its own, and would open its sockets
// in the namespace in which that goroutine happens to run.
func openUserspace(name string, mtu int, key wgtypes.Key, port uint16) (Device, error) {
	fail := func(err error) (Device, error) {
		return nil, fmt.Errorf("device %s: wireguard-go: %w", name, err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(fmt.Errorf("open /dev/net/tun: %w", err))
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return fail(fmt.Errorf("TUNSETIFF: %w", err))
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(link, mtu) // before NewDevice reads it
	}
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	t, _, err := tun.CreateUnmonitoredTUNFromFD(fd) // owns fd from here on, even when it fails
	if err != nil {
		return fail(err)
	}

	d := userspaceDevice{name: name, dev: device.NewDevice(t, new(udpBind),
		device.NewLogger(device.LogLevelSilent, ""))}
	err = d.dev.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", hex.EncodeToString(key[:]), port))
	if err == nil {
		err = d.dev.Up() // opens the sockets
	}
	if err != nil {
		d.dev.Close()
		return fail(err)
	}
	return d, nil
}

func (d userspaceDevice) Backend() Backend { return Userspace }

func (d userspaceDevice) SetPeer(key peerselector.Key, allowed ...netip.Prefix) error {
	return d.configure(fmt.Sprintf("public_key=%s\nreplace_allowed_ips=true\n", hex.EncodeToString(key[:])) +
		allowedIPs(allowed))
}

func (d userspaceDevice) Connect(key peerselector.Key, endpoint netip.AddrPort, allowed ...netip.Prefix) error {
	name := "public_key=" + hex.EncodeToString(key[:]) + "\n"
	return d.configure(name + "remove=true\n" +
		name + fmt.Sprintf("endpoint=%s\npersistent_keepalive_interval=%d\n", endpoint, keepalive/time.Second) +
		allowedIPs(allowed))
}

func allowedIPs(allowed []netip.Prefix) string {
	var b strings.Builder
	for _, a := range allowed {
		fmt.Fprintf(&b, "allowed_ip=%s\n", a)
	}
	return b.String()
}

func (d userspaceDevice) RemovePeer(key peerselector.Key) error {
	return d.configure(fmt.Sprintf("public_key=%s\nremove=true\n", hex.EncodeToString(key[:])))
}

func (d userspaceDevice) configure(uapi string) error {
	if err := d.dev.IpcSet(uapi); err != nil {
		return fmt.Errorf("device %s: configure: %w", d.name, err)
	}
	return nil
}

func (d userspaceDevice) Stats() (map[peerselector.Key]PeerStats, error) {
	text, err := d.dev.IpcGet()
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.name, err)
	}
	return parseStats(text)
}

// parseStats reads the peers of a UAPI "get" answer (https://www.wireguard.com/xplatform/), ignoring all else.
func parseStats(text string) (map[peerselector.Key]PeerStats, error) {
	stats := make(map[peerselector.Key]PeerStats)
	var key peerselector.Key
	var secs, nanos int64
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), "=")
		s := stats[key]
		var err error
		switch name {
		case "public_key":
			if hex.DecodedLen(len(value)) != len(key) {
				return nil, fmt.Errorf("public key %q has not 64 digits", value)
			}
			_, err = hex.Decode(key[:], []byte(value))
			s, secs, nanos = PeerStats{}, 0, 0
		case "endpoint":
			s.Endpoint, err = netip.ParseAddrPort(value)
		case "last_handshake_time_sec":
			secs, err = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nanos, err = strconv.ParseInt(value, 10, 64)
		case "rx_bytes":
			s.RX, err = strconv.ParseInt(value, 10, 64)
		case "tx_bytes":
			s.TX, err = strconv.ParseInt(value, 10, 64)
		case "allowed_ip":
			var p netip.Prefix
			p, err = netip.ParsePrefix(value)
			s.AllowedIPs = append(s.AllowedIPs, p)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("UAPI %s: %w", name, err)
		}
		if secs != 0 || nanos != 0 {
			s.LastHandshake = time.Unix(secs, nanos)
		}
		stats[key] = s
	}
	return stats, nil
}

func (d userspaceDevice) Close(func(func() error) error) error {
	d.dev.Close() // the last user of a tun device removes its link
	return nil
}
