//go:build !nobroker

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/testtcp"
	"wguplink/agent/testtls"
)

// oldGo is a version that routers get (scripts/variants), and whose crypto/x509 can be made to panic.
const oldGo = "go1.23.12"

// buildOld builds a package with the old Go.
func buildOld(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-tags", "netgo,osusergo", "-o", out, pkg)
	// For this machine, also where the test itself is another processor's.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+oldGo, "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", oldGo, err, b)
	}
	return out
}

// execute gives the exit code of a program, and all it says.
func execute(t *testing.T, name string, args ...string) (int, string) {
	t.Helper()
	b, err := exec.Command(name, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(b)
	}
	return 0, string(b)
}

// TestHostileCertificates: no chain of certificates ends the program as it is built for routers. The same server does
// end a program that makes a plain handshake, or the test would show nothing.
func TestHostileCertificates(t *testing.T) {
	l, err := tls.Listen("tcp", "127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{testtls.DSAChain(t, "127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	testtcp.Serve(t, l, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c) // the handshake, up to the client's end
	})

	code, says := execute(t, buildOld(t, "./testdata/tlsdial"), l.Addr().String())
	if code != 2 || !strings.Contains(says, "panic: interface conversion") {
		t.Fatalf("the plain program does not panic, exit code %d: %s", code, says)
	}

	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(
		"config uplink 'mesh'\n\toption enabled '1'\n\toption protocol 'wgkex'\n\toption domain 'ffxx'\n"+
			"\toption domain_seed '%s'\n\toption fwmark '0'\n\tlist broker 'https://127.0.0.1:%s'\n",
		strings.Repeat("ab", 32), port)
	if err := os.WriteFile(filepath.Join(dir, "wguplink"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	code, says = execute(t, buildOld(t, "."), "locations", "mesh", "--config", dir)
	if code != 1 || !strings.Contains(says, "cannot be read (panic:") || strings.Contains(says, "goroutine ") {
		t.Errorf("exit code %d: %s", code, says)
	}
}
