package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/vm"
)

// shell talks with a shell at the other end of a serial console, as OpenWrt's busybox or our stand-in's.
type shell struct {
	v  *vm.VM
	id int
}

// What a console says on the way to a shell.
const (
	askFirst = "Please press Enter to activate this console"
	login    = "login: "
	password = "assword: "
	prompt   = "# "
)

// open logs in as root, from a machine's first sign of life on.
func open(ctx context.Context, v *vm.VM) (*shell, error) {
	mark := 0
	for {
		which, _, end, err := v.Expect(ctx, mark, askFirst, login, password, prompt)
		if err != nil {
			return nil, fmt.Errorf("log in: %w", err)
		}
		mark = end
		switch which {
		case 0:
			err = v.Send("\n")
		case 1:
			err = v.Send("root\n")
		case 2:
			return nil,
				errors.New(
					"log in: the image wants a password for root; take one that has none, as OpenWrt's and Gluon's " +
						"are when new")
		case 3:
			s := &shell{v: v}
			// No echo, so that what is written into a file is not read twice; and no colours or editing.
			if _, err := s.must(ctx, "stty -echo 2>/dev/null; PS1='# '; unset HISTFILE"); err != nil {
				return nil, fmt.Errorf("log in: %w", err)
			}
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("log in: %w", err)
		}
	}
}

// quote makes one word of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// do runs a command line, and gives its output, standard error in between, and its exit code. A line of the kernel's
// may be in the output.
func (s *shell) do(ctx context.Context, line string) (r console.Reply, err error) {
	s.id++
	mark := s.v.Mark()
	// The marks are written in two parts: an echo of the line is no mark.
	if err := s.v.Send(fmt.Sprintf("echo \"@\"\"%d begin\"; { %s\n} 2>&1; echo \"@\"\"%d end $?\"\n", s.id,
		line, s.id)); err != nil {
		return r, err
	}
	_, _, from, err := s.v.Expect(ctx, mark, fmt.Sprintf("@%d begin", s.id))
	if err != nil {
		return r, err
	}
	_, to, end, err := s.v.Expect(ctx, from, fmt.Sprintf("@%d end ", s.id))
	if err != nil {
		return r, err
	}
	_, stop, _, err := s.v.Expect(ctx, end, "\n")
	if err != nil {
		return r, err
	}
	if _, err := fmt.Sscanf(s.v.Text(end, stop), "%d", &r.Code); err != nil {
		return r, fmt.Errorf("exit code of %q: %w", line, err)
	}
	out := strings.ReplaceAll(s.v.Text(from, to), "\r", "")
	// The shell's prompt for the rest of a line of several.
	r.Out = strings.TrimPrefix(strings.TrimPrefix(out, "\n"), "> ")
	return r, nil
}

func (s *shell) must(ctx context.Context, line string) (string, error) {
	r, err := s.do(ctx, line)
	if err != nil {
		return "", err
	}
	if r.Code != 0 {
		return "", fmt.Errorf("%q: code %d: %s", line, r.Code, r.Out)
	}
	return r.Out, nil
}

// write writes a text file, a line at a time: a terminal takes no longer ones than 4095 bytes.
func (s *shell) write(ctx context.Context, name, text string) error {
	if _, err := s.must(ctx, "mkdir -p "+quote(name[:strings.LastIndex(name, "/")])+" && umask 077 && : >"+
		quote(name)); err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if _, err := s.must(ctx, "printf '%s\\n' "+quote(line)+" >>"+quote(name)); err != nil {
			return err
		}
	}
	return nil
}
