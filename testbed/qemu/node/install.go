package node

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/topology"
)

// prepare does what a person does with a new router: leaves Gluon's set-up mode, and installs the program.
func (n *Image) prepare(ctx context.Context) error {
	gluon, err := n.sh.do(ctx, "[ -d /lib/gluon ]")
	if err != nil {
		return err
	}
	if gluon.Code == 0 {
		_, err := n.sh.must(ctx, "uci set gluon-setup-mode.@setup_mode[0].configured=1 && uci commit gluon-setup-mode")
		if err != nil {
			return err
		}
	}
	if err := n.configureWAN(ctx, gluon.Code == 0); err != nil {
		return err
	}
	if err := n.network(ctx); err != nil {
		return err
	}
	// The ping is what paces the loop: netifd sets the WAN up in its own time.
	if _, err := n.sh.must(ctx,
		fmt.Sprintf(
			"i=0; until ping -c 1 -W 1 %s >/dev/null; do i=$((i+1)); [ $i -lt 60 ] || break; done; [ $i -lt 60 ]",
			topology.RouterV4.Addr())); err != nil {
		return fmt.Errorf("the WAN does not come up: %w", err)
	}
	if _, err := n.sh.must(ctx,
		fmt.Sprintf(
			"wget -q -O /tmp/install.tar %s && tar -x -f /tmp/install.tar -C / && rm /tmp/install.tar && chmod 755 "+
				"/usr/bin/wguplink", quote(n.URL))); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	r, err := n.sh.do(ctx, "[ -x /etc/init.d/wguplink ] && [ -e /etc/rc.common ]")
	n.loop = r.Code != 0
	if err != nil || n.loop {
		return err
	}
	_, err = n.sh.must(ctx,
		"/etc/init.d/wguplink stop; for s in /etc/uci-defaults/*wguplink*; do [ ! -e \"$s\" ] || (. \"$s\") && rm -f "+
			"\"$s\"; done; :")
	return err
}

// configureWAN gives the image its WAN address where it has UCI, for good.
func (n *Image) configureWAN(ctx context.Context, gluon bool) error {
	r, err := n.sh.do(ctx, "[ -e /etc/config/network ]")
	if err != nil || r.Code != 0 {
		return err
	}
	set := []string{
		"network.wan=interface", "network.wan.proto=static", "network.wan.ipaddr=" + topology.NodeV4.Addr().String(),
		"network.wan.netmask=255.255.255.0", "network.wan.gateway=" + topology.RouterV4.Addr().String(),
		"network.wan6=interface", "network.wan6.proto=static", "network.wan6.ip6addr=" + topology.NodeV6.String(),
		"network.wan6.ip6gw=" + topology.RouterV6.Addr().String(),
	}
	if !gluon {
		// The machine has one network card, and OpenWrt makes a LAN of the first.
		set = append(set, "network.wan.device=eth0", "network.wan6.device=eth0", "network.lan.device=lo")
	}
	var line strings.Builder
	for _, s := range set {
		line.WriteString("uci set " + quote(s) + " && ")
	}
	if _, err := n.sh.must(ctx, line.String()+"uci commit network && /etc/init.d/network restart"); err != nil {
		return fmt.Errorf("configure the WAN: %w", err)
	}
	return nil
}

// network makes what only the scenario needs: the mesh interface and its address; and without UCI, the WAN's.
func (n *Image) network(ctx context.Context) error {
	r, err := n.sh.do(ctx, "[ -e /etc/config/network ]")
	if err != nil {
		return err
	}
	if r.Code != 0 {
		line := fmt.Sprintf(
			"ip link set eth0 up && ip addr add %s dev eth0 && ip -6 addr add %s dev eth0 && ip route add default "+
				"via %s && ip -6 route add default via %s",
			topology.NodeV4, topology.NodeV6, topology.RouterV4.Addr(), topology.RouterV6.Addr())
		if _, err := n.sh.must(ctx, line); err != nil {
			return fmt.Errorf("WAN: %w", err)
		}
	}
	// On Gluon bat0 is in a bridge already, which then has the address.
	_, err = n.sh.must(ctx, "[ -e /sys/class/net/bat0 ] || ip link add bat0 address "+gatewayvm.NodeMAC+
		" type batadv; d=bat0; [ ! -e /sys/class/net/br-client ] || d=br-client; ip link set bat0 up; ip addr add "+
		n.Mesh+" dev $d")
	if err != nil {
		return fmt.Errorf("mesh interface (does the image have batman-adv, and ip-full?): %w", err)
	}
	return nil
}

// Start implements Node.
func (n *Image) Start(ctx context.Context) error {
	line := "/etc/init.d/wguplink enable; /etc/init.d/wguplink start"
	if n.loop {
		line = ": >/tmp/wguplink.on; (while [ -e /tmp/wguplink.on ]; do /usr/bin/wguplink run; done </dev/null " +
			">>/tmp/wguplink.log 2>&1 &)"
	}
	_, err := n.sh.must(ctx, line)
	return err
}

// Restart implements Node. Our loop starts the next agent by itself.
func (n *Image) Restart(ctx context.Context) error {
	line := "/etc/init.d/wguplink restart"
	if n.loop {
		pid, err := n.PID(ctx)
		if err != nil {
			return err
		}
		line = fmt.Sprintf("kill %d", pid)
	}
	_, err := n.sh.must(ctx, line)
	return err
}

// Address implements Node.
func (n *Image) Address(ctx context.Context, device string, address netip.Prefix) error {
	_, err := n.sh.must(ctx, "ip addr add "+address.String()+" dev "+quote(device))
	return err
}

// Delete implements Node.
func (n *Image) Delete(ctx context.Context, device string) error {
	_, err := n.sh.must(ctx, "ip link del "+quote(device))
	return err
}

// Stop implements Node.
func (n *Image) Stop(ctx context.Context) error {
	line := "/etc/init.d/wguplink stop"
	if n.loop {
		pid, err := n.PID(ctx)
		if err != nil {
			return err
		}
		line = fmt.Sprintf("rm -f /tmp/wguplink.on; kill %d; /usr/bin/wguplink down", pid)
	}
	_, err := n.sh.must(ctx, line)
	return err
}
