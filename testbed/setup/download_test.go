package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// alone puts scripts into a folder of their own, and returns the folder.
func alone(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join("../../scripts", name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "scripts", name), string(content))
	}
	return dir
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestGoCannotBeFetched: where Go is too old, and the newer one cannot be had, setup says what it tried, and why it
// failed.
func TestGoCannotBeFetched(t *testing.T) {
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := alone(t, "setup")
	// A Go that says it is Debian 12's; what it fetches, it fetches as the real one.
	put(t, filepath.Join(dir, "bin/go"), "#!/bin/sh\ncase $* in\n'env GOVERSION') echo go1.19.8 ;;\n*) exec "+
		real+" \"$@\" ;;\nesac\n")
	cmd := exec.Command("sh", "scripts/setup")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"),
		"GOPROXY=http://127.0.0.1:9",
		"GOMODCACHE="+filepath.Join(dir, "cache"), "GONOSUMDB=*", "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it goes on: %s", out)
	}
	for _, want := range []string{"setup: fetching go1.", "127.0.0.1:9", "connection refused",
		"setup: cannot fetch go1."} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
}

// TestKernelLists: where the machine's lists of packages are empty, or name a version that the mirror has no longer,
// the MIPS kernel's script fetches them; what is not there then is an error that says why.
func TestKernelLists(t *testing.T) {
	for _, tt := range []struct{ name, before, after, want string }{
		{"empty", "", "", "no package linux-source-6.1, even after apt-get update"},
		{"empty, and the source is gone", "", "6.1.2", "cannot fetch linux-source-6.1 6.1.2: the reason stands above"},
		{"old", "6.1.1", "6.1.2", "the mirror has 6.1.2 instead"},
		{"old, and the new one is gone", "6.1.1", "6.1.2",
			"cannot fetch linux-source-6.1 6.1.2: the reason stands above"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := alone(t, "kernel-mips")
			put(t, filepath.Join(dir, "version"), tt.before)
			put(t, filepath.Join(dir, "bin/apt-cache"),
				`#!/bin/sh`+"\n"+`v=$(cat "$LISTS/version"); [ -z "$v" ] || echo "Version: $v"`+"\n")
			put(t, filepath.Join(dir, "bin/apt-get"), `#!/bin/sh
case $* in
*update) printf %s "$AFTER" >"$LISTS/version" ;;
*) echo "E: 404  Not Found" >&2; exit 100 ;;
esac
`)
			put(t, filepath.Join(dir, "bin/mips-linux-gnu-gcc"), "#!/bin/sh\necho 12.2.0\n")
			cmd := exec.Command("sh", "scripts/kernel-mips")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"),
				"WGUPLINK_CACHE="+filepath.Join(dir, "cache"), "LISTS="+dir, "AFTER="+tt.after)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "kernel-mips: "+tt.want) {
				t.Errorf("%v: %s", err, out)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "cache/kernel-mips/build.*")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// TestImageFetch: an image and an SDK by URL and hash; another hash, or nothing there, is an error that names it, and
// leaves no file.
func TestImageFetch(t *testing.T) {
	dir := alone(t, "image-fetch", "install")
	image, sdk := filepath.Join(dir, "x-generic.img.gz"), filepath.Join(dir, "sdk.tar.xz")
	put(t, image, "an image")
	put(t, filepath.Join(dir, "openwrt-sdk/scripts/feeds"), "#!/bin/sh\n")
	if out, err := exec.Command("tar", "-C", dir, "-cJf", sdk, "openwrt-sdk").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sum := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := sha256.Sum256(content)
		return hex.EncodeToString(s[:])
	}
	wrong := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name string
		args []string
		want string // "": it succeeds
	}{
		{"good", []string{"file://" + image, sum(image), "file://" + sdk, sum(sdk)}, ""},
		{"image of another hash", []string{"file://" + image, wrong, "file://" + sdk, sum(sdk)},
			"x-generic.img.gz has the SHA-256 " + sum(image)},
		{"SDK of another hash", []string{"file://" + image, sum(image), "file://" + sdk, wrong},
			"sdk.tar.xz has the SHA-256 " + sum(sdk)},
		{"nothing there", []string{"file://" + dir + "/none.img", wrong, "file://" + sdk, sum(sdk)},
			"none.img cannot be fetched"},
		{"no hash", []string{"file://" + image, "abc", "file://" + sdk, sum(sdk)}, `"abc" is no SHA-256`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("sh", append([]string{"scripts/image-fetch"}, tt.args...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) {
				t.Fatalf("%v: %s", err, out)
			}
			if tt.want != "" {
				if strings.Contains(tt.want, "has the SHA-256") {
					name := map[bool]string{true: "image.img.gz",
						false: "sdk.tar.xz"}[strings.Contains(tt.want, "img.gz")]
					if _, err := os.Stat(filepath.Join(dir, "build/image", name)); err == nil {
						t.Errorf("%s is left", name)
					}
				}
				return
			}
			for _, path := range []string{"build/image/image.img.gz", "build/image/sdk/scripts/feeds"} {
				if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
