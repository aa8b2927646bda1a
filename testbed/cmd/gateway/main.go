// Command gateway is a gateway for trying, on this machine: see package standalone. It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"wguplink/testbed/standalone"
)

func main() { os.Exit(run()) }

func run() int {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	address := flags.String("address", "",
		"this machine's address, under which routers reach it (default: the one of its default route)")
	httpPort := flags.Uint("http", 8080, "port of the broker")
	port := flags.Uint("port", 51820, "UDP port of WireGuard")
	plain := flags.Bool("plain", false, "no batman-adv, also where the kernel has it")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		return 1
	}
	for name, p := range map[string]uint{"-http": *httpPort, "-port": *port} {
		if p == 0 || p > 65535 {
			return fail(fmt.Errorf("%s %d: a port is 1 to 65535", name, p))
		}
	}
	if os.Geteuid() != 0 {
		return fail(fmt.Errorf("it makes network devices: run it as root"))
	}
	addr, err := own(*address)
	if err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := standalone.Run(ctx, standalone.Config{
		Address: addr, HTTPPort: uint16(*httpPort), Port: uint16(*port), Plain: *plain, Out: os.Stdout,
	}); err != nil {
		return fail(err)
	}
	return 0
}

// own is the address given, or the one from which the machine would reach others. A UDP socket that is connected sends
// nothing.
func own(given string) (netip.Addr, error) {
	if given != "" {
		a, err := netip.ParseAddr(given)
		if err != nil {
			return a, fmt.Errorf("-address: %w", err)
		}
		return a, nil
	}
	c, err := net.Dial("udp", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("this machine has no default route; name its address with -address: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
