package setup

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// apt stands in for apt-get: as Debian's etcd-server and mosquitto do, it asks policy-rc.d whether it may start a
// service, and enables it for boot, in systemd's and the run levels' way.
const apt = `#!/bin/sh
cd "$WGUPLINK_INSTALL_ROOT"
case "$*" in
*update*) exit 0 ;;
*broken*) echo 'E: Unable to locate package broken' >&2; exit 100 ;;
*cut*) kill -TERM $PPID; exit 1 ;;
esac
if usr/sbin/policy-rc.d new start; then touch started; fi
ln -s /lib/systemd/system/new.service etc/systemd/system/multi-user.target.wants/new.service
ln -s /lib/systemd/system/new.service etc/systemd/system/alias.service
ln -s /dev/null etc/systemd/system/masked.service
ln -s ../init.d/new etc/rc3.d/S01new
ln -s ../init.d/new etc/rc6.d/K01new
`

// machine makes the parts of a machine's root folder that matter.
func machine(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "usr/sbin", "etc/systemd/system/multi-user.target.wants",
		"etc/rc3.d", "etc/rc6.d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/apt-get"), []byte(apt), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"etc/systemd/system/multi-user.target.wants/old.service": "/lib/systemd/system/old.service",
		"etc/rc3.d/S01old": "../init.d/old",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// files lists all files of the machine below etc and usr, with what is in them or where they lead.
func files(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	for _, top := range []string{"etc", "usr"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if to, err := os.Readlink(path); err == nil {
				b.WriteString(name + " -> " + to + "\n")
				return nil
			}
			text, err := os.ReadFile(path)
			b.WriteString(name + ": " + string(text) + "\n")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func install(t *testing.T, root string, packages ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("../../scripts/install", append([]string{"setup"}, packages...)...)
	cmd.Env = append(os.Environ(), "WGUPLINK_INSTALL_ROOT="+root, "PATH="+root+"/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestInstall installs packages: no service is started or enabled that was not, and policy-rc.d is as before.
func TestInstall(t *testing.T) {
	const own = "#!/bin/sh\n# the machine's\nexit 0\n"
	for name, prepare := range map[string]func(root string) error{
		"no policy": func(string) error { return nil },
		"a policy": func(root string) error {
			return os.WriteFile(filepath.Join(root, "usr/sbin/policy-rc.d"), []byte(own), 0o755)
		},
		"a policy that is a link": func(root string) error {
			if err := os.WriteFile(filepath.Join(root, "usr/sbin/other"), []byte(own), 0o755); err != nil {
				return err
			}
			return os.Symlink("other", filepath.Join(root, "usr/sbin/policy-rc.d"))
		},
	} {
		for _, pkg := range []string{"etcd-server", "broken", "cut"} {
			t.Run(name+"/"+pkg, func(t *testing.T) {
				root := machine(t)
				if err := prepare(root); err != nil {
					t.Fatal(err)
				}
				before := files(t, root)
				out, err := install(t, root, pkg)
				if good := pkg == "etcd-server"; (err == nil) != good {
					t.Errorf("%v: %s", err, out)
				}
				if pkg == "broken" && (!strings.Contains(out, "Unable to locate package broken") ||
					!strings.Contains(out, "install --no-install-recommends broken failed")) {
					t.Errorf("the reason is missing: %s", out)
				}
				// What starts nothing may be new.
				var kept []string
				for _, line := range strings.Split(files(t, root), "\n") {
					if !strings.HasPrefix(line, "etc/systemd/system/masked.service") &&
						!strings.Contains(line, "/K01new") {
						kept = append(kept, line)
					}
				}
				if after := strings.Join(kept, "\n"); after != before {
					t.Errorf("before:\n%s\nafter:\n%s\nit said:\n%s", before, after, out)
				}
				if _, err := os.Stat(filepath.Join(root, "started")); err == nil {
					t.Error("the service was started")
				}
			})
		}
	}
}

// TestInstallAfterKill puts the machine's policy back that a run which was killed had laid aside.
func TestInstallAfterKill(t *testing.T) {
	root := machine(t)
	for name, text := range map[string]string{
		"policy-rc.d":                 "#!/bin/sh\n# made by wguplink while it installs packages\nexit 101\n",
		"policy-rc.d.before-wguplink": "the machine's",
	} {
		if err := os.WriteFile(filepath.Join(root, "usr/sbin", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := install(t, root, "etcd-server"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := files(t, root); !strings.Contains(got, "usr/sbin/policy-rc.d: the machine's\n") ||
		strings.Contains(got, "before-wguplink") {
		t.Error(got)
	}
}
