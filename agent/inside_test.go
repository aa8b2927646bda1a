//go:build !nobroker && !cross

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/json"
	"wguplink/agent/testns"
)

// insideEnv says that a test runs in namespaces of its own.
const insideEnv = "WGUPLINK_TEST_INSIDE"

// patience ends a program that hangs; no test waits for it.
const patience = 2 * time.Minute

// inside has a test run once more, in network and mount namespaces of its own with an empty /run, and says whether this
// is that run. No route leads anywhere there, so that an agent asks no server and leaves the machine's clock alone.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", "/run", "tmpfs", 0, "")); err != nil {
			t.Fatal("namespaces:", err)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("inside, which needs root: %v\n%s", err, out)
	}
	return false
}

// process is the program, in a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner // of standard output and standard error
	said  strings.Builder
}

func launch(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{"wguplink"}, args...)
	cmd.Env = append(os.Environ(), programEnv+"=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { r.Close() })
	return &process{t: t, cmd: cmd, lines: bufio.NewScanner(r)}
}

// until reads on to a line with the text in it.
func (p *process) until(text string) string {
	p.t.Helper()
	for p.lines.Scan() {
		fmt.Fprintln(&p.said, p.lines.Text())
		if strings.Contains(p.lines.Text(), text) {
			return p.lines.Text()
		}
	}
	p.t.Fatalf("%v has not said %q, but\n%s", p.cmd.Args, text, p.said.String())
	return ""
}

// end sends a signal, unless it is 0, waits for the end, and checks the exit code.
func (p *process) end(s syscall.Signal, want int) string {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	for p.lines.Scan() {
		fmt.Fprintln(&p.said, p.lines.Text())
	}
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != want {
		p.t.Errorf("%v: exit code %d, want %d:\n%s", p.cmd.Args, code, want, p.said.String())
	}
	return p.said.String()
}

// says runs a command to its end, and wants texts in what it says.
func says(t *testing.T, want int, args []string, texts ...string) string {
	t.Helper()
	out := launch(t, args...).end(0, want)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%v has not said %q, but\n%s", args, text, out)
		}
	}
	return out
}

func with(command []string, flags []string) []string {
	return append(command[:len(command):len(command)], flags...)
}

const insideConfig = `config uplink 'mesh'
	option protocol 'static'
	option vxlan_id '1906606'

config gateway 'gw1'
	option uplink 'mesh'
	option public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='
	list endpoint '192.0.2.1:51820'
	option link_address 'fe80::1'
`

// The agent runs, tells what it does, takes a changed configuration, refuses a damaged one, and leaves its device at
// SIGTERM. The command down takes that away, and tells the hooks.
func TestRunInside(t *testing.T) {
	if !inside(t) {
		return
	}
	dir, flags := folders(t, insideConfig)
	file, hook, told := filepath.Join(dir, "wguplink"), filepath.Join(dir, "state/hooks.d/10-tell"),
		filepath.Join(dir, "told")
	if err := errors.Join(os.MkdirAll(filepath.Dir(hook), 0o755), os.WriteFile(hook, []byte("#!/bin/sh\n"+
		"echo \"$WGUPLINK_EVENT $WGUPLINK_UPLINK $WGUPLINK_PROTOCOL\" >>"+told+"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := testns.WireGuard(t)(context.Background(), "wg_mesh", "wguplink mesh"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	a := launch(t, with([]string{"run", "--stderr"}, flags)...)
	a.until("the configuration could be read by all users, and is root's alone now")
	a.until("wguplink starts")
	a.until("cause=no_wan")
	says(t, exitLocked, with([]string{"run", "--stderr"}, flags), "mesh")
	says(t, exitAway, with([]string{"status"}, flags), "mesh: ", "no_wan")
	watch := launch(t, with([]string{"status", "--watch"}, flags)...)
	watch.until("no_wan")
	says(t, exitFailed, with([]string{"netcheck"}, flags), "uplink mesh: ", "no WAN route")
	says(t, exitFailed, with([]string{"netcheck", "--json"}, flags), `"mesh"`)
	says(t, exitFailed, with([]string{"reconnect"}, flags), "ubus")
	key := strings.TrimSpace(says(t, exitOK, with([]string{"key", "show"}, flags)))
	if len(key) != 44 {
		t.Errorf("the public key is %q", key)
	}

	change := func(text, line string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		a.until(line)
	}
	good, err := os.ReadFile(file) // with the key that the agent has made
	if err != nil {
		t.Fatal(err)
	}
	change(string(good)+"\nconfig uplink 'second'\n\toption protocol 'no such'\n", "no such")
	says(t, exitStopped, with([]string{"status"}, flags), "second: stopped")
	change("config uplink 'mes", "the new configuration is broken")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	a.end(syscall.SIGTERM, exitOK)
	if _, err := net.InterfaceByName("wg_mesh"); err != nil {
		t.Error("SIGTERM has not left the device:", err)
	}
	watch.until("stopped")
	watch.end(syscall.SIGTERM, exitStopped)
	says(t, exitOK, with([]string{"down"}, flags))
	if _, err := net.InterfaceByName("wg_mesh"); err == nil {
		t.Error("down has left the device")
	}
	if text, err := os.ReadFile(told); err != nil || string(text) != "down mesh static\n" {
		t.Errorf("the hook was told %q, %v", text, err)
	}
}

// The plug-in for LuCI tells the configuration without the key, changes it, and has the doctor run beside it.
func TestLuciInside(t *testing.T) {
	if !inside(t) {
		return
	}
	dir, flags := folders(t, insideConfig)
	call := func(input string, args ...string) map[string]any {
		t.Helper()
		p := exec.Command("/proc/self/exe")
		p.Args = append(with([]string{"wguplink", "luci"}, flags), args...)
		p.Env, p.Stdin, p.Stderr = append(os.Environ(), programEnv+"=1"), strings.NewReader(input), os.Stderr
		out, err := p.Output()
		if err != nil {
			t.Fatalf("luci %v: %v", args, err)
		}
		var answer map[string]any
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("luci %v: %v in %s", args, err, out)
		}
		return answer
	}
	if methods := call("", "list"); methods["config"] == nil || methods["apply"] == nil || methods["doctor"] == nil {
		t.Errorf("methods %v", methods)
	}
	if answer := fmt.Sprint(call("{}", "call", "config")); !strings.Contains(answer, "1906606") {
		t.Errorf("configuration: %s", answer)
	}
	answer := call(`{"set":{"mesh":{"ntp_server":["192.0.2.5"],"vxlan_port":"4789"}}}`, "call", "apply")
	if note := fmt.Sprint(answer["note"]); answer["saved"] != true || !strings.Contains(note, "could not be told") {
		t.Errorf("a change without ubusd: %v", answer)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "wguplink")); err != nil ||
		!strings.Contains(string(text), "option vxlan_port '4789'") ||
		!strings.Contains(string(text), "list ntp_server '192.0.2.5'") {
		t.Errorf("after the change: %s, %v", text, err)
	}
	if answer := fmt.Sprint(call("{}", "call", "doctor")); !strings.Contains(answer, "no examination was started") {
		t.Errorf("before an examination: %s", answer)
	}
	call(`{"uplink":"mesh","start":true}`, "call", "doctor")
	lock, err := os.Open(filepath.Join(dir, "run", doctorLock))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // until the doctor has ended
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if answer := fmt.Sprint(call("{}", "call", "doctor")); !strings.Contains(answer, "wan") {
		t.Errorf("findings: %s", answer)
	}
}

// The drop-in waits for its device, and ends with the signal. Without a peer it says so.
func TestDropInInside(t *testing.T) {
	if !inside(t) {
		return
	}
	dir, _ := folders(t, "")
	peers := filepath.Join(dir, "wgpeerselector")
	flags := []string{"wgpeerselector", "-i", "wg_mesh", "--stderr", "--config", dir, "--staged",
		filepath.Join(dir, "staged"), "--run", filepath.Join(dir, "run"), "-p", filepath.Join(dir, "pid")}
	if err := os.WriteFile(peers, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, 1, flags, "no peer")
	if err := os.WriteFile(peers, []byte("config peer 'gw1'\n\toption enabled '1'\n\toption ifname 'wg_mesh'\n"+
		"\toption public_key 'o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg='\n\tlist endpoint '192.0.2.1:51820'\n"+
		"\tlist allowed_ips 'fe80::1/128'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := launch(t, flags...)
	d.until("wguplink starts")
	d.until("cause=")
	if pid, err := os.ReadFile(filepath.Join(dir, "pid")); err != nil ||
		strings.TrimSpace(string(pid)) != fmt.Sprint(d.cmd.Process.Pid) {
		t.Errorf("PID file %q, %v", pid, err)
	}
	d.end(syscall.SIGINT, exitOK)
	if _, err := os.Stat(filepath.Join(dir, "pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the PID file is left: %v", err)
	}
}

// A broker that cannot be reached is named, with the uplink; a static uplink is not asked for.
func TestLocationsInside(t *testing.T) {
	if !inside(t) {
		return
	}
	_, flags := folders(t, strings.Replace(insideConfig, "'static'", "'wgkex'\n\toption domain 'd'\n"+
		"\tlist broker 'https://192.0.2.7'", 1))
	says(t, exitFailed, with([]string{"locations"}, flags), "uplink mesh: ", "192.0.2.7")
}
