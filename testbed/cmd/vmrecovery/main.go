// Command vmrecovery measures in a virtual machine how long the mesh is gone when the agent or its devices change: see package
// recovery.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/qemu/recovery"
	"wguplink/testbed/qemu/talk"
)

func main() {
	if os.Getppid() != 1 || len(os.Args) != 1 {
		fmt.Fprintln(os.Stderr, "vmrecovery runs in a virtual machine, started by vminit; run `make qemu`")
		os.Exit(2)
	}
	netlab.Whole()
	if err := talk.Serve(os.Stdin, os.Stdout, handle); err != nil {
		fmt.Fprintf(os.Stderr, "vmrecovery: %v\n", err)
		os.Exit(1)
	}
}

// handle takes one command: "table AGENT DURATION", with the agent's program and how long one line may take.
func handle(words []string) talk.Reply {
	if len(words) != 3 || words[0] != "table" {
		return talk.Reply{Code: 2, Out: "table AGENT DURATION"}
	}
	limit, err := time.ParseDuration(words[2])
	if err != nil {
		return talk.Failed(err)
	}
	b, err := json.Marshal(recovery.Table(words[1], "/srv", limit))
	if err != nil {
		return talk.Failed(err)
	}
	return talk.Reply{Out: string(b)}
}
