// Command vminit is the first process of the lab's virtual machines: see package guest.
package main

import (
	"fmt"
	"os"

	"wguplink/testbed/qemu/guest"
)

func main() {
	if os.Args[0] == guest.JailedName {
		fmt.Fprintf(os.Stderr, "vminit: %v\n", guest.Jailed(os.Args[1:]))
		os.Exit(127)
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "vminit is the first process of a virtual machine; run `make qemu`")
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "vminit: %v\n", guest.Init())
	os.Exit(1)
}
