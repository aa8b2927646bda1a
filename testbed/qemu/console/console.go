// Package console is how the host talks with the programs of the lab inside a virtual machine, over its serial console.
//
// The host sends one line for each command, a number and a JSON list of words; the guest answers with one line:
//
//	7 ["cat","/proc/uptime"]
//	@7 {"code":0,"out":"12.04 3.11\n"}
//
// All other lines are what kernel and programs say; a line of theirs may stand before an answer that is due.
package console

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Ready is what a guest says when it takes commands.
const Ready = "@ready"

// Reply is the answer to a command.
type Reply struct {
	Code int    `json:"code"` // as of a process: 0 for done
	Out  string `json:"out"`
}

// Failed makes a reply of an error.
func Failed(err error) Reply { return Reply{Code: 1, Out: err.Error()} }

// Request is a command's line.
func Request(id int, words []string) (string, error) {
	b, err := json.Marshal(words)
	if err != nil {
		return "", fmt.Errorf("command %q: %w", words, err)
	}
	return fmt.Sprintf("%d %s\n", id, b), nil
}

// Prefix is how the line of the answer begins.
func Prefix(id int) string { return fmt.Sprintf("@%d {", id) }

// ParseReply reads the line of an answer, from its prefix on.
func ParseReply(id int, line string) (r Reply, err error) {
	text, ok := strings.CutPrefix(line, fmt.Sprintf("@%d ", id))
	if !ok {
		return r, fmt.Errorf("answer %q: not to command %d", line, id)
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("answer %q: %w", line, err)
	}
	return r, nil
}

// Serve answers the commands that come on r until it ends, one after another. What is no command is passed over.
func Serve(r io.Reader, w io.Writer, handle func(words []string) Reply) error {
	if _, err := fmt.Fprintf(w, "\n%s\n", Ready); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		number, list, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, err := strconv.Atoi(number)
		var words []string
		if err != nil || json.Unmarshal([]byte(list), &words) != nil || len(words) == 0 {
			continue
		}
		b, err := json.Marshal(handle(words))
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		// The empty line ends one that the kernel may have begun.
		if _, err := fmt.Fprintf(w, "\n@%d %s\n", id, b); err != nil {
			return fmt.Errorf("console: %w", err)
		}
	}
}
