// Command uci stands in for OpenWrt's tool of that name where it does not exist, for the tests of our scripts. Files
// and staged changes are read by the agent's own package uci, which is tested with recordings of the real tool; staging
// and committing are done here. Sections without a name can be read, but not added.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wguplink/agent/uci"
)

const usage = `usage: uci [-q] [-c DIR] [-P DIR] [-t DIR] COMMAND
  get P.S[.O]   set P.S[.O]=V...   add_list P.S.O=V   del_list P.S.O=V   delete P.S[.O]   show P   export P   changes [P]   commit [P]   revert P
`

// tool is one call of the program.
type tool struct {
	config, save string
	generated    bool
}

func main() {
	f := flag.NewFlagSet("uci", flag.ContinueOnError)
	quiet := f.Bool("q", false, "quiet")
	config := f.String("c", "/etc/config", "files")
	save := f.String("P", "/tmp/.uci", "staged changes")
	own := f.String("t", "", "staged changes, and no others")
	generated := f.Bool("X", false, "show the generated names of sections without a name")
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	if err := f.Parse(os.Args[1:]); err != nil || f.NArg() == 0 {
		f.Usage()
		os.Exit(255)
	}
	if *own != "" {
		save = own
	}
	if err := (tool{*config, *save, *generated}).run(f.Arg(0), f.Args()[1:]); err != nil {
		if !*quiet {
			fmt.Fprintln(os.Stderr, "uci:", err)
		}
		os.Exit(1)
	}
}

func (t tool) run(command string, args []string) error {
	switch command {
	case "get", "delete", "show", "export", "revert", "add_list", "del_list":
		if len(args) != 1 {
			return fmt.Errorf("%s wants one argument", command)
		}
	}
	switch command {
	case "get":
		return t.get(args[0])
	case "set", "add_list", "del_list":
		mark := map[string]string{"add_list": "|", "del_list": "~"}[command]
		for _, a := range args {
			if err := t.set(a, mark); err != nil {
				return err
			}
		}
		return nil
	case "delete":
		return t.delete(args[0])
	case "show", "export":
		return t.print(args[0], command == "show")
	case "changes", "commit":
		packages := args
		if len(packages) == 0 {
			packages = t.staged()
		}
		for _, p := range packages {
			f := t.changes
			if command == "commit" {
				f = t.commit
			}
			if err := f(p); err != nil {
				return err
			}
		}
		return nil
	case "revert":
		return t.remove(args[0])
	}
	return fmt.Errorf("unknown command %q", command)
}

// split takes P.S or P.S.O apart.
func split(ref string) (p, s, o string, err error) {
	parts := strings.Split(ref, ".")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return "", "", "", fmt.Errorf("%q: want package.section or package.section.option", ref)
	}
	if len(parts) == 3 {
		o = parts[2]
	}
	return parts[0], parts[1], o, nil
}

// load takes P.S or P.S.O apart, and reads the package.
func (t tool) load(ref string) (tree *uci.Tree, p, s, o string, err error) {
	if p, s, o, err = split(ref); err != nil {
		return nil, "", "", "", err
	}
	tree = uci.NewTree(t.config, t.save)
	return tree, p, s, o, tree.LoadConfig(p, false)
}

func (t tool) get(ref string) error {
	tree, p, s, o, err := t.load(ref)
	if err != nil {
		return err
	}
	typ, ok := tree.SectionType(p, s)
	if ok && o == "" {
		fmt.Println(typ)
		return nil
	}
	values, ok := tree.Get(p, s, o)
	if !ok {
		return fmt.Errorf("%s: entry not found", ref)
	}
	fmt.Println(strings.Join(values, " "))
	return nil
}

// set stages P.S=type or P.S.O=value; mark is that of the line that adds the value to a list, or takes it from one.
func (t tool) set(assignment, mark string) error {
	ref, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("%q: want %s=value", assignment, assignment)
	}
	tree, p, s, o, err := t.load(ref)
	if err != nil {
		return err
	}
	if _, ok := tree.SectionType(p, s); !ok && o != "" {
		return fmt.Errorf("%s: no section %s", ref, s)
	}
	return t.stage(p, mark+ref+"="+quote(value)+"\n")
}

func (t tool) delete(ref string) error {
	tree, p, s, o, err := t.load(ref)
	if err != nil {
		return err
	}
	_, ok := tree.SectionType(p, s)
	if o != "" {
		_, ok = tree.Get(p, s, o)
	}
	if !ok {
		return fmt.Errorf("%s: entry not found", ref)
	}
	return t.stage(p, "-"+ref+"\n")
}

func (t tool) print(p string, show bool) error {
	tree := uci.NewTree(t.config, t.save)
	if show && t.generated {
		return t.showGenerated(tree, p)
	}
	export := tree.Export
	if show {
		export = tree.Show
	}
	text, err := export(p)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

// showGenerated is "uci -X show".
func (t tool) showGenerated(tree *uci.Tree, p string) error {
	if err := tree.LoadConfig(p, false); err != nil {
		return err
	}
	sections, _ := tree.GetSections(p, "")
	for _, s := range sections {
		typ, _ := tree.SectionType(p, s)
		fmt.Printf("%s.%s=%s\n", p, s, typ)
		for _, o := range tree.Options(p, s) {
			values, _ := tree.Get(p, s, o)
			for i := range values {
				values[i] = quote(values[i])
			}
			fmt.Printf("%s.%s.%s=%s\n", p, s, o, strings.Join(values, " "))
		}
	}
	return nil
}

func (t tool) staged() []string {
	entries, _ := os.ReadDir(t.save)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (t tool) changes(p string) error {
	text, err := os.ReadFile(filepath.Join(t.save, p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

// commit writes the file as it is with all that is staged.
func (t tool) commit(p string) error {
	if _, err := os.Stat(filepath.Join(t.save, p)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	text, err := uci.NewTree(t.config, t.save).Export(p)
	if err != nil {
		return err
	}
	_, text, _ = bytes.Cut(text, []byte("\n")) // "package P"
	path := filepath.Join(t.config, p)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return t.remove(p)
}

func (t tool) remove(p string) error {
	err := os.Remove(filepath.Join(t.save, p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (t tool) stage(p, line string) error {
	if err := os.MkdirAll(t.save, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(t.save, p), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}

func quote(v string) string { return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'" }
