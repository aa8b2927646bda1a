// Package standalone is a gateway for trying on one machine, with all that a wgkex network has: Mosquitto, a broker,
// one worker, WireGuard, VXLAN, and batman-adv where the kernel has it. It stands on the machine's own address and
// leaves nothing behind.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/peerselector"
	"wguplink/testbed/gateway"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/wgkex"
	"wguplink/testbed/worker"
)

// Names and numbers of the network for trying.
const (
	Domain    = "try_city"
	VXLANID   = 4242
	wireguard = "wg-try"
	vxlan     = "vx-try"
	mesh      = "bat-try"
	meshMTU   = 1406 // as at Munich, Hannover, Aachen
)

// meshAddress is the gateway's own on top: on bat-try, or on vx-try without batman-adv.
var meshAddress = netip.MustParsePrefix("10.77.0.254/16")

// Config of a gateway for trying. All fields are required but Plain.
type Config struct {
	Address  netip.Addr // the machine's, under which routers reach it
	HTTPPort uint16     // of the broker
	Port     uint16     // of WireGuard
	// Plain leaves batman-adv out also where the kernel has it.
	Plain bool
	Out   io.Writer
}

// Run serves until ctx ends. The error says what could not be made, or not be taken away again.
func Run(ctx context.Context, c Config) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{c: c, log: journal{out: c.Out, start: time.Now()}}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, step := range []func(context.Context) error{s.device, s.mesh, s.mqtt, s.broker, s.worker} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.introduce()
	return s.watch(ctx)
}

// server is the running gateway. Its parts are closed in the reverse order of their making.
type server struct {
	c      Config
	log    journal
	gw     *gateway.Gateway
	port   int // of Mosquitto
	wgkex  *wgkex.Broker
	bus    *mqtt.Client
	batman bool
	undo   []func() error
}

func (s *server) close() error {
	var errs []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i]())
	}
	return errors.Join(errs...)
}

// device makes WireGuard and VXLAN in the present network namespace. Devices of those names that are there belong to
// another program, and stay.
func (s *server) device(context.Context) error {
	for _, name := range []string{wireguard, vxlan, mesh} {
		if _, err := netlink.LinkByName(name); err == nil {
			return fmt.Errorf("device %s exists: delete it (ip link del %s), or end the gateway that made it", name,
				name)
		}
	}
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	s.gw, err = gateway.New(gateway.Config{
		Name: "try", Do: func(f func() error) error { return f() }, PrivateKey: key, ListenPort: s.c.Port,
		LinkAddress: derive.LinkLocal(peerselector.Key(key.PublicKey()), true), Interface: wireguard, MTU: meshMTU,
		VXLAN: gateway.VXLAN{ID: VXLANID, Interface: vxlan},
	})
	if err != nil {
		return err
	}
	if err := s.gw.Start(); err != nil {
		return err
	}
	s.undo = append(s.undo, s.gw.Kill)
	s.log.say("WireGuard (%v) on %s, UDP port %d; VXLAN %d on %s", s.gw.Backend(), wireguard, s.c.Port, VXLANID, vxlan)
	return nil
}

// mesh puts the VXLAN into batman-adv, where the kernel has it, and gives the mesh an address.
func (s *server) mesh(context.Context) error {
	if !s.c.Plain {
		bat := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: mesh}, LinkType: "batadv"}
		switch err := netlink.LinkAdd(bat); {
		case err == nil:
			s.batman = true
		default:
			s.log.say("no batman-adv in this kernel (%v): nodes reach the gateway on the VXLAN itself", err)
		}
	}
	if !s.batman {
		return s.gw.AddAddr(meshAddress)
	}
	bat, err := netlink.LinkByName(mesh)
	if err != nil {
		return fmt.Errorf("device %s: %w", mesh, err)
	}
	s.undo = append(s.undo, func() error { return netlink.LinkDel(bat) })
	vx, err := netlink.LinkByName(vxlan)
	if err != nil {
		return fmt.Errorf("device %s: %w", vxlan, err)
	}
	err = errors.Join(netlink.LinkSetMaster(vx, bat), netlink.LinkSetUp(bat),
		netlink.AddrAdd(bat, &netlink.Addr{IPNet: ipNet(meshAddress)}))
	if err != nil {
		return fmt.Errorf("device %s: %w", mesh, err)
	}
	s.log.say("batman-adv on %s", mesh)
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// broker serves wgkex's API by HTTP on all addresses.
func (s *server) broker(ctx context.Context) error {
	s.wgkex = wgkex.New(wgkex.Options{
		Domains: []string{Domain},
		Publish: func(m mqtt.Message) error { return s.bus.Publish(m) },
		OnRegister: func(r wgkex.Registration) {
			s.log.say("%s registers (%v): %v", r.From, r.API, r.Key)
		},
		OnRequest: func(r wgkex.Request) {
			if r.API == wgkex.Other {
				s.log.say("%s asks for %s, which the broker does not have", r.From, r.Path)
			}
		},
	})
	heard := make(chan error, 1)
	var err error
	s.bus, err = mqtt.Connect(ctx, mqtt.Options{Server: s.mqttServer(), Dial: dial, ID: "broker",
		OnConnect: func(b mqtt.Bus) {
			select {
			case heard <- s.wgkex.Listen(b):
			default:
			}
		}})
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { s.bus.Close(); return nil })
	select {
	case err := <-heard:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	ln, err := net.Listen("tcp", fmt.Sprintf(":%d", s.c.HTTPPort))
	if err != nil {
		return fmt.Errorf("broker: %w; another port: -http", err)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- wgkex.Serve(serving, ln, http.Handler(s.wgkex), nil, nil) }()
	s.undo = append(s.undo, func() error {
		s.wgkex.Close()
		stop()
		return <-done
	})
	s.log.say("broker on HTTP port %d, domain %s", s.c.HTTPPort, Domain)
	return nil
}

func (s *server) mqttServer() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// worker takes keys from the broker, with the real one's schedule, and waits until the broker knows of it.
func (s *server) worker(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		name = "try"
	}
	w := worker.New(worker.Config{Name: name, ExternalName: s.c.Address.String(),
		Domains: map[string]worker.Device{Domain: s.gw},
		OnKey: func(_ string, key peerselector.Key, err error) {
			if err != nil {
				s.log.say("key not added: %v: %v", key, err)
				return
			}
			s.log.say("the gateway knows %v", key)
		}})
	will := w.Will()
	client, err := mqtt.Connect(ctx, mqtt.Options{Server: s.mqttServer(), Dial: dial, ID: name, Will: &will,
		OnConnect: func(b mqtt.Bus) {
			if err := w.Connected(b); err != nil {
				s.log.say("worker: %v", err)
			}
		}})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var run sync.WaitGroup
	run.Add(1)
	go func() {
		defer run.Done()
		w.Run(working)
	}()
	s.undo = append(s.undo, func() error {
		stop()
		run.Wait()
		client.Close()
		return nil
	})
	for {
		heard := s.wgkex.Heard()
		if len(s.wgkex.Online(Domain)) > 0 {
			return nil
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch tells who is connected, until ctx ends. WireGuard has no event for it.
func (s *server) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	known := make(map[peerselector.Key]bool)
	for {
		select {
		case <-ctx.Done():
			s.log.say("ending")
			return nil
		case <-tick.C:
		}
		stats, err := s.gw.Stats()
		if err != nil {
			return err
		}
		for key, p := range stats {
			age := time.Since(p.LastHandshake)
			connected := !p.LastHandshake.IsZero() && age < peerselector.RejectAfter
			if connected == known[key] {
				continue
			}
			known[key] = connected
			if connected {
				s.log.say("%v is connected from %v, handshake %v ago; %v in the tunnel", key, p.Endpoint,
					age.Round(time.Millisecond), p.LinkAddress)
			} else {
				s.log.say("%v has been silent for %v", key, age.Round(time.Second))
			}
		}
	}
}
