package netlab_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// rights takes the lines of proc_pid_status(5) that are about rights.
func rights(lines []string) map[string]string {
	m := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs":
			m[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return m
}

// TestJail compares the jail with what the real ujail was seen to give. Only CAP_SYS_TIME is not the lab's to give.
func TestJail(t *testing.T) {
	text, err := os.ReadFile("testdata/ujail-status")
	must(t, err)
	want := rights(strings.Split(string(text), "\n"))
	if len(want) != 9 {
		t.Fatalf("testdata/ujail-status has %d of 9 lines: %v", len(want), want)
	}
	for name, value := range want {
		if !strings.HasPrefix(name, "Cap") {
			continue
		}
		set, err := strconv.ParseUint(value, 16, 64)
		must(t, err)
		if set&(1<<unix.CAP_SYS_TIME) == 0 {
			t.Errorf("%s of the recording lacks CAP_SYS_TIME: %s", name, value)
		}
		want[name] = fmt.Sprintf("%016x", set&^(1<<unix.CAP_SYS_TIME))
	}
	_, hosts := newLab(t, "a")
	jail := netlab.Jail{GID: 800, Capabilities: []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_TIME}}
	p, err := hosts[0].Start(netlab.Command{Path: "/bin/cat", Args: []string{"/proc/self/status"}, Jail: &jail})
	must(t, err)
	must(t, p.Wait(testContext(t)))
	got := rights(p.Lines())
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: %s, want %s as of ujail", name, got[name], value)
		}
	}
	// What the jail's environment variable says must not reach the program.
	p, err = hosts[0].Start(netlab.Command{Path: "/usr/bin/env", Jail: &jail})
	must(t, err)
	must(t, p.Wait(testContext(t)))
	if env := strings.Join(p.Lines(), " "); strings.Contains(env, "NETLAB") {
		t.Errorf("environment of the program: %s", env)
	}
}

// TestJailDenies tries what root without the usual rights cannot do.
func TestJailDenies(t *testing.T) {
	_, hosts := newLab(t, "a")
	jail := netlab.Jail{GID: 800, Capabilities: []int{unix.CAP_NET_ADMIN}}
	for _, try := range []string{
		"touch /etc/new && chown 0:0 /etc/new",           // CAP_CHOWN
		"cat /tmp/foreign/secret",                        // CAP_DAC_OVERRIDE
		"mkdir -p /tmp/m && mount -t tmpfs tmpfs /tmp/m", // CAP_SYS_ADMIN
		"setpriv --regid=0 --keep-groups true",           // CAP_SETGID
	} {
		must(t, hosts[0].Inside(func() error {
			if err := os.MkdirAll("/tmp/foreign", 0o700); err != nil {
				return err
			}
			if err := os.WriteFile("/tmp/foreign/secret", []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Chown("/tmp/foreign", 1234, 1234)
		}))
		p, err := hosts[0].Start(netlab.Command{Path: "/bin/sh", Args: []string{"-c", try}, Jail: &jail})
		must(t, err)
		if p.Wait(testContext(t)) == nil {
			t.Errorf("%s: allowed in the jail", try)
		}
		if p, err = hosts[0].Start(netlab.Command{Path: "/bin/sh", Args: []string{"-c", try}}); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(testContext(t)); err != nil {
			t.Errorf("%s: refused without the jail, so that the test says nothing: %v %s", try, err, p.Lines())
		}
	}
}
