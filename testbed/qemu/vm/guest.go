package vm

import (
	"context"
	"fmt"
	"sync"

	"wguplink/testbed/qemu/console"
)

// Guest is a machine that takes the commands of package console.
type Guest struct {
	*VM
	mu sync.Mutex
	id int
}

// Boot starts a machine as Start does, and waits until it takes commands. One that never does is given with the error:
// for its console, and to be switched off.
func Boot(ctx context.Context, name, program string, args ...string) (*Guest, error) {
	v, err := Start(name, program, args...)
	if err != nil {
		return nil, err
	}
	_, _, _, err = v.Expect(ctx, 0, "\n"+console.Ready)
	return &Guest{VM: v}, err
}

// Do carries out a command and gives its answer, with any exit code.
func (g *Guest) Do(ctx context.Context, words ...string) (console.Reply, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.id++
	line, err := console.Request(g.id, words)
	if err != nil {
		return console.Reply{}, err
	}
	mark := g.Mark()
	if err := g.Send(line); err != nil {
		return console.Reply{}, err
	}
	_, begin, _, err := g.Expect(ctx, mark, "\n"+console.Prefix(g.id))
	if err != nil {
		return console.Reply{}, fmt.Errorf("%q: %w", words[0], err)
	}
	_, end, _, err := g.Expect(ctx, begin+1, "\n")
	if err != nil {
		return console.Reply{}, fmt.Errorf("%q: %w", words[0], err)
	}
	return console.ParseReply(g.id, g.Text(begin+1, end))
}

// Must is Do for a command that may not fail.
func (g *Guest) Must(ctx context.Context, words ...string) (string, error) {
	r, err := g.Do(ctx, words...)
	if err != nil {
		return "", err
	}
	if r.Code != 0 {
		return "", fmt.Errorf("%s: %q: code %d: %s", g.Name, words, r.Code, r.Out)
	}
	return r.Out, nil
}
