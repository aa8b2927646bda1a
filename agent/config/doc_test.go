package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/uci"
)

const docFile = "../../docs/configuration.md"

func readDoc(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// TestDocOptions compares the tables of docs/configuration.md with the tables of options: names, order, types, defaults
// and what is allowed. Only the meaning is the document's own.
func TestDocOptions(t *testing.T) {
	rows := make(map[string][][]string)
	typ := ""
	for _, line := range readDoc(t) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			typ, _ = strings.CutPrefix(heading, "Section ")
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[typ] = append(rows[typ], cells)
	}
	for _, typ := range []string{typeGlobal, typeUplink, typeGateway} {
		options := table(typ)
		if len(rows[typ]) != len(options) {
			t.Errorf("section %s has %d options in %s, %d in the code", typ, len(rows[typ]), docFile, len(options))
		}
		for i, o := range options {
			if i >= len(rows[typ]) {
				t.Errorf("%s: nothing for %s.%s", docFile, typ, o.name)
				continue
			}
			cells := rows[typ][i]
			if len(cells) != 5 || cells[4] == "" {
				t.Errorf("%s: %s.%s: %d cells, want 5 with a meaning: %q", docFile, typ, o.name, len(cells), cells)
				continue
			}
			kind := "option"
			if o.list {
				kind = "list"
			}
			if cells[0] != "`"+o.name+"`" || cells[1] != kind || cells[3] != o.allowed {
				t.Errorf("%s:\n got  %q\n want `%s` | %s | … | %s", docFile, cells, o.name, kind, o.allowed)
			}
			if def := cells[2]; o.def != "" && def != "`"+o.def+"`" || o.def == "" &&
				(def == "" || strings.HasPrefix(def, "`")) {
				t.Errorf("%s: %s.%s: default %q, want %q, or words where there is none", docFile, typ, o.name,
					def, o.def)
			}
		}
	}
}

// TestDocExamples loads every example of the document, through the real UCI reader.
func TestDocExamples(t *testing.T) {
	var examples []string
	inside := false
	for _, line := range readDoc(t) {
		switch {
		case line == "```uci":
			inside = true
			examples = append(examples, "")
		case line == "```":
			inside = false
		case inside:
			examples[len(examples)-1] += line + "\n"
		}
	}
	if len(examples) < 3 {
		t.Fatalf("%d examples, want at least three", len(examples))
	}
	for _, text := range examples {
		if !BrokerSupport && !strings.Contains(text, "'static'") && strings.Contains(text, "option protocol") {
			continue // refused by this build, as TestNoBrokerSupport shows
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, Package), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(uci.NewTree(dir, t.TempDir()))
		if err != nil || len(cfg.Uplinks) == 0 {
			t.Errorf("%v\n%s", err, text)
		}
	}
}
