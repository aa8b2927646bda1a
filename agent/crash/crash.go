// Package crash says where a program was when it came to a bad end, without the arguments of its functions: Go prints
// them as words, and a private key may be among them.
package crash

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// maxStack bounds what is told, in bytes.
const maxStack = 256 << 10

// code is the exit code of a Go program after a panic.
const code = 2

// Guard has SIGQUIT and SIGABRT print the stacks of all goroutines, and end the program.
func Guard(w io.Writer) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGQUIT, syscall.SIGABRT)
	go func() {
		s := <-c
		end(w, s.String(), true)
	}()
}

// Tell is for a deferred call: it makes a panic the end of the program, and prints what it was and where.
func Tell() {
	if v := recover(); v != nil {
		end(os.Stderr, fmt.Sprint("panic: ", v), false)
	}
}

func end(w io.Writer, why string, all bool) {
	stack := make([]byte, maxStack)
	stack = stack[:runtime.Stack(stack, all)]
	fmt.Fprintf(w, "%s\n\n%s", why, withoutArguments(stack))
	os.Exit(code)
}

// withoutArguments leaves out what stands in the brackets after a function's name, which may have the receiver's in
// brackets: "main.(*T).run({0x1, 0x2}, 0x3)". Lines that name a file begin with a tab.
func withoutArguments(stack []byte) []byte {
	var out []byte
	for _, line := range bytes.SplitAfter(stack, []byte("\n")) {
		if i := arguments(line); i > 0 && line[0] != '\t' && bytes.HasSuffix(line, []byte(")\n")) {
			line = append(bytes.Clone(line[:i]), "(...)\n"...)
		}
		out = append(out, line...)
	}
	return out
}

// arguments is where the brackets with the arguments open; -1 when there are none.
func arguments(line []byte) int {
	for i, c := range line {
		if c == '(' && !bytes.HasPrefix(line[i:], []byte("(*")) {
			return i
		}
	}
	return -1
}
