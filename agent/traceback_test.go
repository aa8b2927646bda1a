//go:build !cross

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// TestTracebackHidesKey: nothing that the agent prints when it ends has bytes of its private key, even where the
// environment asks for the stacks of all goroutines. A SIGSEGV from outside makes Go print them as a panic does.
func TestTracebackHidesKey(t *testing.T) {
	for _, tags := range []string{"", "userspace"} {
		program := filepath.Join(t.TempDir(), "wguplink")
		if out, err := exec.Command("go", "build", "-tags", tags, "-gcflags=wguplink/...=-l", "-o", program,
			".").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		for _, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGSYS} {
			t.Run(tags+" "+s.String(), func(t *testing.T) { traceback(t, program, s) })
		}
	}
}

func traceback(t *testing.T, program string, s syscall.Signal) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	_, flags := folders(t, strings.Replace(goodConfig, "\n\n", "\n\toption private_key '"+key.String()+"'\n\n", 1))
	// With a network and a /run of its own, so that the machine's stay as they are.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare",
		append([]string{"-n", "-m", "sh", "-c", `mount -t tmpfs tmpfs /run && exec "$0" "$@"`,
			program, "run", "--stderr"}, flags...)...)
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		// The process of userspace WireGuard outlives the agent, and holds the other end.
		ended <- cmd.Wait()
		killAll(program)
		w.Close()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		// By now the key has been to the devices, or to where they could not be made.
		if strings.Contains(lines.Text(), "cause=") {
			cmd.Process.Signal(s)
		}
	}
	if err := <-ended; err == nil {
		t.Errorf("ended well:\n%s", said.String())
	}
	if !strings.Contains(said.String(), "goroutine ") {
		t.Fatalf("no traceback:\n%s", said.String())
	}
	if part := wordsOf(key, said.String()); part != "" {
		t.Errorf("the output has %s of the key:\n%s", part, said.String())
	}
}

// killAll ends all processes of a program.
func killAll(program string) {
	all, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range all {
		if path, err := os.Readlink(exe); err == nil && path == program {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(exe))); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

// wordsOf gives what of a key stands in a text, as words in a traceback or otherwise.
func wordsOf(key wgtypes.Key, text string) string {
	for i := 0; i+4 <= len(key); i++ {
		part := key[i : i+4]
		for _, form := range []string{
			hex.EncodeToString(part), fmt.Sprintf("%08x", binary.LittleEndian.Uint32(part)), key.String()[i : i+8],
		} {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	return ""
}
