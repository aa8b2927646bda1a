package main

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const architecture = "../docs/architecture.md"

// docs/architecture.md lists which of our folders import which. This holds it against the code.
func TestDocImports(t *testing.T) {
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "agent/imports_test.go")
	between, rest, ok := strings.Cut(rest, "```\n")
	have, after, closed := strings.Cut(rest, "```")
	if !found || !ok || !closed {
		t.Fatalf("%s has no list of imports after the name of this file", architecture)
	}
	want := strings.Join(imports(t), "\n") + "\n"
	if *update {
		text := before + "agent/imports_test.go" + between + "```\n" + want + "```" + after
		if err := os.WriteFile(architecture, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(have, "\n")); diff != "" {
		t.Errorf("the list in %s; if the code is right: go test ./agent -run DocImports -update (-code +docs):\n%s",
			architecture, diff)
	}
}

// imports gives a line "folder: what it imports of ours" for each of the router's packages that imports any, under any
// build tags.
func imports(t *testing.T) (lines []string) {
	all := map[string]map[string]bool{}
	for _, tags := range []string{"", "userspace", "nobroker"} {
		out, err := exec.Command("go", "list", "-tags", tags, "-f", `{{.ImportPath}} {{join .Imports " "}}`,
			"../...").Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			names := strings.Fields(line)
			for _, n := range names[1:] {
				if ours, ok := strings.CutPrefix(n, "wguplink/"); ok {
					folder := strings.TrimPrefix(names[0], "wguplink/")
					if all[folder] == nil {
						all[folder] = map[string]bool{}
					}
					all[folder][strings.TrimPrefix(ours, "agent/")] = true
				}
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, folder+": "+strings.Join(slices.Sorted(maps.Keys(all[folder])), " "))
	}
	return lines
}
