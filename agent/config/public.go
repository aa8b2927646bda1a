package config

import (
	"bytes"
	"slices"
	"strings"
)

// Public gives the package as a UCI file without anything that may be a private key. It leaves out the option itself,
// values of unknown options, and values that look like a key in the wrong place. Errors are those of LoadFile for a
// file that cannot be read.
func Public(tree Reader, file string) ([]byte, error) {
	if _, err := open(tree, file); err != nil {
		return nil, err
	}
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var b bytes.Buffer
	// never empty
	b.WriteString("# The last configuration that could be read, for when /etc/config/wguplink is damaged.\n")
	names, _ := tree.GetSections(Package, "")
	for _, name := range names {
		typ, _ := tree.SectionType(Package, name)
		options := table(typ)
		if options == nil {
			continue
		}
		b.WriteString("\nconfig " + typ)
		if !isAnonymous(name) {
			b.WriteString(" " + quoted(name))
		}
		b.WriteByte('\n')
		for _, o := range tree.Options(Package, name) {
			if o == "private_key" {
				continue
			}
			i := slices.IndexFunc(options, func(k option) bool { return k.name == o })
			keyword := "\toption "
			values := []string{"unknown"}
			if i >= 0 {
				values, _ = tree.Get(Package, name, o)
				if options[i].list || len(values) > 1 {
					keyword = "\tlist "
				}
			}
			for _, v := range values {
				if looksLikeKey(v) && o != "public_key" && o != "broker_pin" && o != "domain_seed" {
					v = "unknown"
				}
				b.WriteString(keyword + o + " " + quoted(v) + "\n")
			}
		}
	}
	return b.Bytes(), nil
}
