package release

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const dump = `PKG_NAME: x
PKG_VERSION: 1.2.3
PKG_RELEASE: 4
PKG_LICENSE: BSD-2-Clause
PKG_BUILD_DEPENDS: golang/host
package x
  SECTION: net
  TITLE: A thing (of use)
  DEPENDS: @(mips||arm) +kmod-vxlan +ca-bundle
  USERID: :people=800
  VARIANT: default
  DEFAULT_VARIANT: 1
  conffiles: /etc/config/x
package x-small
  TITLE: A small thing
  DEPENDS: +kmod-vxlan
  PROVIDES: x
  CONFLICTS: x x-large
  conffiles:
package x-glue
  TITLE: Glue
  DEPENDS: +x
  PKGARCH: all
  conffiles:
`

func packages(t *testing.T) []Package {
	t.Helper()
	list, err := ReadDump(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// tree makes what package x installs.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for path, mode := range map[string]os.FileMode{"usr/bin/x": 0o755, "etc/config/x": 0o600, "etc/init.d/x": 0o755} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // the umask does not count
			t.Fatal(err)
		}
	}
	if err := os.Symlink("x", filepath.Join(dir, "usr/bin/y")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReadDump(t *testing.T) {
	list := packages(t)
	if len(list) != 3 {
		t.Fatalf("got %d packages", len(list))
	}
	want := "Package: x-small\nVersion: 1.2.3-r4\nDepends: kmod-vxlan\nConflicts: x, x-large\nProvides: x\nLicense: " +
		"BSD-2-Clause\n" +
		"SourceDateEpoch: 5\nArchitecture: mips_24kc\nInstalled-Size: 9\nDescription: A small thing\n"
	if got := list[1].control("mips_24kc", 9, 5); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := list[0].control("mips_24kc", 9, 5); !strings.Contains(got, "Depends: kmod-vxlan, ca-bundle\n") ||
		!strings.Contains(got, "Require-User: :people=800\n") {
		t.Errorf("got\n%s", got)
	}
	if got := list[2].File("mips_24kc"); got != "x-glue_1.2.3-r4_all.ipk" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"package x\n", "what\n"} {
		if _, err := ReadDump(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestIPK: a package is what tar takes apart to the same tree, with root as the owner, the same bytes each time; the
// index names it.
func TestIPK(t *testing.T) {
	p, from := packages(t)[0], tree(t)
	content, err := p.IPK(from, "mips_24kc", 1700000000)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.IPK(from, "mips_24kc", 1700000000); err != nil || !bytes.Equal(content, again) {
		t.Fatalf("not the same twice (%v)", err)
	}
	dir := t.TempDir()
	ipk := filepath.Join(dir, p.File("mips_24kc"))
	if err := os.WriteFile(ipk, content, 0o644); err != nil {
		t.Fatal(err)
	}
	shell := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	if got := shell(
		"tar -xzf *.ipk; cat debian-binary; tar -tvzf data.tar.gz --numeric-owner; tar -xzf control.tar.gz; ls"); got != `2.0
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./etc/
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./etc/config/
-rw------- 0/0               8 2023-11-14 22:13 ./etc/config/x
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./etc/init.d/
-rwxr-xr-x 0/0               8 2023-11-14 22:13 ./etc/init.d/x
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./usr/
drwxr-xr-x 0/0               0 2023-11-14 22:13 ./usr/bin/
-rwxr-xr-x 0/0               8 2023-11-14 22:13 ./usr/bin/x
lrwxrwxrwx 0/0               0 2023-11-14 22:13 ./usr/bin/y -> x
conffiles
control
control.tar.gz
data.tar.gz
debian-binary
postinst
prerm
x_1.2.3-r4_mips_24kc.ipk
` {
		t.Errorf("got\n%s", got)
	}
	// The scripts are run by the router's shell, and do nothing where OpenWrt's functions are not.
	shell(
		"IPKG_INSTROOT=$PWD ./postinst; IPKG_INSTROOT=$PWD ./prerm; mkdir lib; echo 'default_postinst() { echo " +
			"\"$@\" >ran; }' >lib/functions.sh")
	if got := shell(
		"IPKG_INSTROOT=$PWD ./postinst configure; cat ran; rm ran; IPKG_NO_SCRIPT=1 IPKG_INSTROOT=$PWD ./postinst; ls"); !strings.HasPrefix(got, "./postinst configure\n") || strings.Contains(got, "ran\n") {
		t.Errorf("got %s", got)
	}
	index, err := Index(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Package: x\n", "Filename: x_1.2.3-r4_mips_24kc.ipk\n",
		"SHA256sum: " + sum256(content) + "\nDescription: A thing (of use)\n\n"} {
		if !strings.Contains(string(index), want) {
			t.Errorf("no %q in\n%s", want, index)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "z.ipk"), []byte("no package"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Index(dir); err == nil || !strings.Contains(err.Error(), "z.ipk") {
		t.Errorf("got %v", err)
	}
}

// TestAPK: what apk is told, and the files that OpenWrt's functions look for beside.
func TestAPK(t *testing.T) {
	list, from, scripts := packages(t), tree(t), t.TempDir()
	args, err := list[0].APK("mips_24kc", from, scripts, "out")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name:x", "version:1.2.3-r4", "arch:mips_24kc", "depends:kmod-vxlan ca-bundle",
		"provider-priority:100",
		"post-upgrade:" + filepath.Join(scripts, "post-upgrade"), "out/x-1.2.3-r4.apk"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %q in %q", want, args)
		}
	}
	for name, want := range map[string]string{
		"x.rusers":           ":people=800\n",
		"x.conffiles":        "/etc/config/x\n",
		"x.conffiles_static": "/etc/config/x " + sum256([]byte("content\n")) + "\n",
	} {
		if got, err := os.ReadFile(filepath.Join(from, "lib/apk/packages", name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	files, err := os.ReadFile(filepath.Join(from, "lib/apk/packages/x.list"))
	if err != nil || !strings.Contains(string(files), "/etc/init.d/x\n") {
		t.Errorf("got %q, %v", files, err)
	}
	upgrade, err := os.ReadFile(filepath.Join(scripts, "post-upgrade"))
	if err != nil || !strings.Contains(string(upgrade), "export PKG_UPGRADE=1\n") ||
		!strings.HasSuffix(string(upgrade), "default_postinst\n") {
		t.Errorf("got %q, %v", upgrade, err)
	}
	args, err = list[1].APK("mips_24kc", tree(t), scripts, "out")
	if err != nil || !slices.Contains(args, "provides:x=1.2.3-r4") {
		t.Errorf("got %q, %v", args, err)
	}
	args, err = list[2].APK("mips_24kc", tree(t), scripts, "out")
	if err != nil || !slices.Contains(args, "arch:noarch") {
		t.Errorf("got %q, %v", args, err)
	}
}
