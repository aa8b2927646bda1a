package netlab_test

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// TestChroot starts a lab in a chroot, where entering a mount namespace would lead back to the machine's files: it
// refuses, and the machine's /etc is as before. The machine is a mount namespace of its own here.
func TestChroot(t *testing.T) {
	for name, root := range map[string]string{
		"root on a mount": `mount --rbind / "$1"`,
		"root in a folder": `for d in bin sbin lib lib64 usr proc sys dev tmp; do
	[ -d /$d ] || continue
	mkdir "$1/$d"
	mount --rbind /$d "$1/$d"
done
mkdir "$1/etc" "$1/run"`,
	} {
		t.Run(name, func(t *testing.T) {
			const script = `set -e
mount --make-rprivate /
cp /etc/passwd /etc/group "$1"
mount -t tmpfs tmpfs /etc
mv "$1/passwd" "$1/group" /etc/
echo 'the machine' >/etc/resolv.conf
ls -l --time-style=full-iso /etc /run >"$3"
ROOT
mount -t tmpfs tmpfs "$1/etc"
echo 'the chroot' >"$1/etc/resolv.conf"
code=0
chroot "$1" "$2" || code=$?
ls -l --time-style=full-iso /etc /run | diff "$3" - >&2
echo "code $code, $(cat /etc/resolv.conf), $(cat "$1/etc/resolv.conf")"
`
			cmd := exec.Command("/bin/sh", "-c", strings.Replace(script, "ROOT", root, 1), "sh", t.TempDir(), self(),
				t.TempDir()+"/before")
			cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", noSleep, helperEnv + "=write"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := string(out); !strings.HasSuffix(got, "code 1, the machine, the chroot\n") ||
				!strings.Contains(got, "this is a chroot") {
				t.Errorf("%s", got)
			}
		})
	}
}

// writeLab is a lab that writes on a host.
func writeLab() int {
	h, err := netlab.New().Host("a")
	if err == nil {
		err = h.WriteFile("/etc/resolv.conf", "the lab\n")
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

// TestForeignMount has a program mount over what is the host's own: the lab does nothing there any more, and says why.
func TestForeignMount(t *testing.T) {
	_, hosts := newLab(t, "a", "b")
	for i, dir := range []string{"/etc", "/tmp"} {
		h := hosts[i]
		p, err := h.Start(netlab.Command{Path: "/bin/mount", Args: []string{"-t", "tmpfs", "tmpfs", dir}})
		must(t, err)
		must(t, p.Wait(testContext(t)))
		err = h.WriteFile("/run/x", "")
		if err == nil || !strings.Contains(err.Error(), "the "+dir+" that is seen inside the host is not the host's") {
			t.Errorf("write after a mount on %s: %v", dir, err)
		}
	}
}
