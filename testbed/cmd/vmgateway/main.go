// Command vmgateway is what lies beyond the node's WAN, in a virtual machine of its own: see package gatewayvm.
package main

import (
	"fmt"
	"os"

	"wguplink/testbed/netlab"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/gatewayvm"
)

func main() {
	if os.Getppid() != 1 || len(os.Args) != 1 {
		fmt.Fprintln(os.Stderr, "vmgateway runs in a virtual machine, started by vminit; run `make qemu`")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "vmgateway: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	netlab.Whole()
	f, err := gatewayvm.New("eth0", "/srv")
	if err != nil {
		return err
	}
	return console.Serve(os.Stdin, os.Stdout, f.Handle)
}
