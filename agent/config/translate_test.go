package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The catalogues of LuCI's packages: their texts are marked in JavaScript, and are titles and descriptions in menus and
// ACLs.
var catalogues = map[string]string{
	"feed/luci-app-wguplink":   "wguplink",
	"feed/luci-proto-wguplink": "proto-wguplink",
}

var (
	marked   = regexp.MustCompile(`\b_\('((?:[^'\\]|\\.)*)'\)`)
	titled   = regexp.MustCompile(`"(?:title|description)": ("(?:[^"\\]|\\.)*")`)
	message  = regexp.MustCompile(`(?m)^msgid (".*")\nmsgstr (".*")$`)
	verbs    = regexp.MustCompile(`%[0-9.]*[sdfm]`)
	language = []string{"de"}
)

// textsOf gives the texts of a package, each once, in the order of its files.
func textsOf(t *testing.T, dir string) []string {
	var all []string
	add := func(s string) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".js" && filepath.Ext(path) != ".json" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range marked.FindAllStringSubmatch(string(raw), -1) {
			add(strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(m[1]))
		}
		if filepath.Ext(path) == ".json" {
			for _, m := range titled.FindAllStringSubmatch(string(raw), -1) {
				add(unquoted(t, m[1]))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func unquoted(t *testing.T, quoted string) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return s
}

func quotedText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// TestGeneratedTemplates compares the templates of translations with the texts of the pages, and the translations with
// the templates. With -update the templates are written.
func TestGeneratedTemplates(t *testing.T) {
	const root = "../.."
	for dir, name := range catalogues {
		texts := textsOf(t, filepath.Join(root, dir))
		if len(texts) == 0 {
			t.Fatalf("%s has no texts", dir)
		}
		template := "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\"\n"
		for _, text := range texts {
			template += "\nmsgid " + quotedText(text) + "\nmsgstr \"\"\n"
		}
		file := filepath.Join(root, dir, "po/templates", name+".pot")
		have, err := os.ReadFile(file)
		if *update && string(have) != template {
			err = os.WriteFile(file, []byte(template), 0o644)
		} else if err == nil && string(have) != template {
			t.Errorf("%s is not what the pages say: run scripts/rules", file)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, lang := range language {
			checkTranslation(t, filepath.Join(root, dir, "po", lang, name+".po"), texts)
		}
	}
}

// checkTranslation wants each text translated, with the same verbs. One that no page says does no harm.
func checkTranslation(t *testing.T, file string, texts []string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for _, m := range message.FindAllStringSubmatch(string(raw), -1) {
		known[unquoted(t, m[1])] = unquoted(t, m[2])
	}
	for _, text := range texts {
		translation := known[text]
		if translation == "" {
			t.Errorf("%s does not translate %q", file, text)
		} else if !slices.Equal(verbs.FindAllString(text, -1), verbs.FindAllString(translation, -1)) {
			t.Errorf("%s: %q has other verbs than %q", file, translation, text)
		}
	}
}
