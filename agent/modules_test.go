package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write modules.txt anew")

// modulesFile lists the modules that the router's binary links. It must not grow without good reason: a line more needs
// a line more in docs/decisions.md.
const modulesFile = "modules.txt"

// variants are the sets of build tags of scripts/variants.
var variants = []struct {
	name, tags string
	without    []string // packages that would make the binary much larger
}{
	{name: "nobroker", tags: "nobroker,netgo,osusergo", without: []string{
		"net/http", "crypto/tls", "crypto/x509", "golang.zx2c4.com/wireguard/device",
	}},
	{name: "default", tags: "netgo,osusergo", without: []string{"net/http", "golang.zx2c4.com/wireguard/device"}},
	{name: "userspace", tags: "userspace,netgo,osusergo", without: []string{"net/http"}},
}

// always are packages that no variant needs and that bring much with them.
var always = []string{"regexp", "encoding/json", "log/slog", "text/template", "html/template", "go/token", "testing",
	"plugin", "expvar", "net/http/pprof"}

// list prints format for each package that the variant links on a router.
func list(t *testing.T, tags, format string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", format, "-tags", tags, ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=mips", "GOMIPS=softfloat", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestModules(t *testing.T) {
	var got strings.Builder
	fmt.Fprintf(&got,
		"# Modules linked into the router's binary, by variant. After a change: go test ./agent -run Modules -update\n")
	for _, v := range variants {
		fmt.Fprintf(&got, "\n%s:\n", v.name)
		for _, m := range list(t, v.tags, "{{with .Module}}{{.Path}}{{end}}") {
			fmt.Fprintf(&got, "\t%s\n", m)
		}
	}
	if *update {
		if err := os.WriteFile(modulesFile, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(modulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("modules differ from %s (-want +got):\n%s", modulesFile, diff)
	}
}

func TestPackagesLeftOut(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			packages := list(t, v.tags, "{{.ImportPath}}")
			if !slices.Contains(packages, "net/netip") {
				t.Fatalf("go list gives %d packages, without net/netip", len(packages))
			}
			for _, p := range slices.Concat(v.without, always) {
				if slices.Contains(packages, p) {
					t.Errorf("links %s", p)
				}
			}
		})
	}
}
