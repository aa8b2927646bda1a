package console_test

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"testing"

	"wguplink/testbed/qemu/console"
)

func TestServe(t *testing.T) {
	in, send := io.Pipe()
	out, say := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- console.Serve(in, say, func(words []string) console.Reply {
			if !slices.Equal(words, []string{"write", "a b", "1\n2\n"}) {
				return console.Reply{Code: 2, Out: strings.Join(words, "|")}
			}
			return console.Reply{Out: "two\nlines\n"}
		})
	}()
	lines := bufio.NewScanner(out)
	next := func() string {
		for lines.Scan() {
			if lines.Text() != "" {
				return lines.Text()
			}
		}
		return "no line: " + lines.Err().Error()
	}
	if got := next(); got != console.Ready {
		t.Fatalf("at first %q, want %q", got, console.Ready)
	}
	for _, noise := range []string{"\n", "login:\n", "7\n", "8 [\n", "9 []\n"} {
		if _, err := io.WriteString(send, noise); err != nil {
			t.Fatal(err)
		}
	}
	line, err := console.Request(12, []string{"write", "a b", "1\n2\n"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(line, "\n") != 1 {
		t.Errorf("a request %q is not one line", line)
	}
	if _, err := io.WriteString(send, line); err != nil {
		t.Fatal(err)
	}
	got := next()
	if !strings.HasPrefix(got, console.Prefix(12)) {
		t.Errorf("answer %q does not begin with %q", got, console.Prefix(12))
	}
	if r, err := console.ParseReply(12, got); err != nil || r != (console.Reply{Out: "two\nlines\n"}) {
		t.Errorf("answer %q is %+v, %v", got, r, err)
	}
	if _, err := console.ParseReply(13, got); err == nil {
		t.Error("the answer to another command is taken")
	}
	send.Close()
	if err := <-done; err != nil {
		t.Errorf("at the end of input: %v", err)
	}
}
