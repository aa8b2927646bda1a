// Command vmrecovery measures in a virtual machine how long the mesh is gone when the agent or its devices change: see
// package recovery.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/recovery"
)

func main() {
	if os.Getppid() != 1 || len(os.Args) != 1 {
		fmt.Fprintln(os.Stderr, "vmrecovery runs in a virtual machine, started by vminit; run `make qemu`")
		os.Exit(2)
	}
	netlab.Whole()
	if err := console.Serve(os.Stdin, os.Stdout, (&table{}).handle); err != nil {
		fmt.Fprintf(os.Stderr, "vmrecovery: %v\n", err)
		os.Exit(1)
	}
}

// table is the measurement under way.
type table struct {
	rows chan recovery.Row // closed at the end
}

// handle takes two commands. "table AGENT DURATION ROWS" starts, with the agent's program, how long one row may take,
// and a regular expression of the rows; "row" waits for the next row, and answers with nothing after the last.
func (t *table) handle(words []string) console.Reply {
	switch {
	case len(words) == 4 && words[0] == "table" && t.rows == nil:
		limit, err := time.ParseDuration(words[2])
		if err != nil {
			return console.Failed(err)
		}
		only, err := regexp.Compile(words[3])
		if err != nil {
			return console.Failed(err)
		}
		t.rows = make(chan recovery.Row)
		go func() {
			defer close(t.rows)
			recovery.Measure(words[1], "/srv", limit, only, func(r recovery.Row) { t.rows <- r })
		}()
		return console.Reply{}
	case len(words) == 1 && words[0] == "row" && t.rows != nil:
		r, ok := <-t.rows
		if !ok {
			return console.Reply{}
		}
		b, err := json.Marshal(r)
		if err != nil {
			return console.Failed(err)
		}
		return console.Reply{Out: string(b)}
	}
	return console.Reply{Code: 2, Out: "table AGENT DURATION ROWS, then row"}
}
