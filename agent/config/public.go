package config

import (
	"bytes"
	"slices"
	"strings"
)

// Public gives the package as a UCI file without anything that may be a private key: neither the option, nor the value of an
// option that is unknown. The error is that of LoadConfig.
func Public(tree Reader) ([]byte, error) {
	if err := tree.LoadConfig(Package, true); err != nil {
		return nil, err
	}
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var b bytes.Buffer
	b.WriteString("# The last configuration that could be read, for when /etc/config/wguplink is damaged.\n") // never empty
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
			values, _ := tree.Get(Package, name, o)
			keyword := "\toption "
			if i := slices.IndexFunc(options, func(k option) bool { return k.name == o }); i < 0 {
				values = []string{"unknown"}
			} else if options[i].list || len(values) > 1 {
				keyword = "\tlist "
			}
			for _, v := range values {
				b.WriteString(keyword + o + " " + quoted(v) + "\n")
			}
		}
	}
	return b.Bytes(), nil
}
