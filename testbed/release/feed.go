package release

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Package is what a feed says of one package, as the recipes below feed/ say it.
type Package struct {
	Name, Version, Release string
	Title, Section         string
	Licence                string
	User                   string // user and group as OpenWrt's USERID has them, such as ":name=800"
	All                    bool   // for all processors
	Default                bool   // the one among those that provide the same
	Depends                []string
	Provides, Conflicts    []string
	Conffiles              []string
}

// ReadDump reads what "make dump" of feed/test/stubs/openwrt prints: variables of the recipe, then each package's own.
func ReadDump(r io.Reader) ([]Package, error) {
	var common Package
	var list []Package
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, found := strings.CutPrefix(line, "package "); found {
			p := common
			p.Name = name
			list = append(list, p)
			continue
		}
		key, value, found := strings.Cut(line, ":")
		if !found {
			return nil, fmt.Errorf("what is %q in the dump of a recipe?", line)
		}
		value = strings.TrimSpace(value)
		p := &common
		if len(list) > 0 {
			p = &list[len(list)-1]
		}
		p.set(key, value)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.Version == "" || p.Release == "" {
			return nil, fmt.Errorf("package %s has no version", p.Name)
		}
	}
	return list, nil
}

func (p *Package) set(key, value string) {
	words := strings.Fields(value)
	switch key {
	case "PKG_VERSION":
		p.Version = value
	case "PKG_RELEASE":
		p.Release = value
	case "PKG_LICENSE":
		p.Licence = value
	case "TITLE":
		p.Title = value
	case "SECTION":
		p.Section = value
	case "USERID":
		p.User = value
	case "PKGARCH":
		p.All = value == "all"
	case "DEFAULT_VARIANT":
		p.Default = value == "1"
	case "PROVIDES":
		p.Provides = words
	case "CONFLICTS":
		p.Conflicts = words
	case "conffiles":
		p.Conffiles = words
	case "DEPENDS":
		// "@x" is a condition for the build; "+x" is a package that is chosen, too.
		for _, w := range words {
			if !strings.HasPrefix(w, "@") {
				p.Depends = append(p.Depends, strings.TrimPrefix(w, "+"))
			}
		}
	}
}

// control is the package's file "control" for opkg; size is that of what it installs, in bytes.
func (p Package) control(arch string, size int, epoch int64) string {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	if p.All {
		arch = "all"
	}
	field("Package", p.Name)
	field("Version", p.Version+"-r"+p.Release)
	field("Depends", strings.Join(p.Depends, ", "))
	field("Conflicts", strings.Join(p.Conflicts, ", "))
	field("Provides", strings.Join(p.Provides, ", "))
	field("License", p.Licence)
	field("Section", p.Section)
	field("Require-User", p.User)
	field("SourceDateEpoch", fmt.Sprint(epoch))
	field("Architecture", arch)
	field("Installed-Size", fmt.Sprint(size))
	field("Description", p.Title)
	return b.String()
}

// File is the package's file in a feed for opkg.
func (p Package) File(arch string) string {
	if p.All {
		arch = "all"
	}
	return fmt.Sprintf("%s_%s-r%s_%s.ipk", p.Name, p.Version, p.Release, arch)
}

// script calls what OpenWrt's own packages call after they are installed and before they are removed; opkg's and apk's
// names of the variables are the same.
func (p Package) script(call string) string {
	return `#!/bin/sh
# OpenWrt's functions do it: the group, the service, and what else the files ask for.
[ "$IPKG_NO_SCRIPT" != 1 ] || exit 0
[ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0
. "$IPKG_INSTROOT/lib/functions.sh"
` + call + "\n"
}

// APK writes what apk wants beside the files into tree and scripts, two folders, and returns the arguments for "apk
// mkpkg", which make the package out. The tree is changed: it must be a copy.
func (p Package) APK(arch, tree, scripts, out string) ([]string, error) {
	if p.All {
		arch = "noarch"
	}
	lists := filepath.Join(tree, "lib/apk/packages")
	if err := os.MkdirAll(lists, 0o755); err != nil {
		return nil, err
	}
	write := func(name string, lines []string) error {
		if len(lines) == 0 {
			return nil
		}
		return os.WriteFile(filepath.Join(lists, p.Name+name), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}
	var user []string
	if p.User != "" {
		user = []string{p.User}
	}
	if err := write(".rusers", user); err != nil {
		return nil, err
	}
	var sums []string
	for _, f := range p.Conffiles {
		if sum, err := hashFile(filepath.Join(tree, f)); err == nil {
			sums = append(sums, f+" "+sum)
		}
	}
	if err := write(".conffiles", p.Conffiles); err != nil {
		return nil, err
	}
	if err := write(".conffiles_static", sums); err != nil {
		return nil, err
	}
	files, err := listFiles(tree)
	if err != nil {
		return nil, err
	}
	if err := write(".list", files); err != nil {
		return nil, err
	}
	set := fmt.Sprintf("export root=\"$IPKG_INSTROOT\" pkgname=%s\n", p.Name)
	args := []string{"mkpkg",
		"--info", "name:" + p.Name, "--info", "version:" + p.Version + "-r" + p.Release, "--info", "arch:" + arch,
		"--info", "description:" + p.Title, "--info", "license:" + p.Licence}
	after := p.script(set + "add_group_and_user\ndefault_postinst")
	for _, s := range []struct{ when, text string }{
		{"post-install", after},
		{"post-upgrade", strings.Replace(after, "\n", "\nexport PKG_UPGRADE=1\n", 1)},
		{"pre-deinstall", p.script(set + "default_prerm")},
	} {
		path := filepath.Join(scripts, s.when)
		if err := os.WriteFile(path, []byte(s.text), 0o755); err != nil {
			return nil, err
		}
		args = append(args, "--script", s.when+":"+path)
	}
	// There is no field for conflicts: who provides the same version of a name cannot be installed beside another.
	if provides := slices.DeleteFunc(slices.Clone(p.Provides),
		func(s string) bool { return s == p.Name }); len(provides) > 0 {
		for i := range provides {
			provides[i] += "=" + p.Version + "-r" + p.Release
		}
		args = append(args, "--info", "provides:"+strings.Join(provides, " "), "--info", "provider-priority:1")
	}
	if p.Default {
		args = append(args, "--info", "provider-priority:100")
	}
	if len(p.Depends) > 0 {
		args = append(args, "--info", "depends:"+strings.Join(p.Depends, " "))
	}
	return append(args, "--files", tree, "--output",
		filepath.Join(out, fmt.Sprintf("%s-%s-r%s.apk", p.Name, p.Version, p.Release))), nil
}

// Index is the file Packages of a feed for opkg: of all packages in a folder, by name.
func Index(folder string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.ipk"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		control, err := readControl(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		before, description, found := strings.Cut(control, "Description:")
		if !found {
			return nil, fmt.Errorf("%s: its control has no description", path)
		}
		fmt.Fprintf(&b, "%sFilename: %s\nSize: %d\nSHA256sum: %s\nDescription:%s\n", before, filepath.Base(path),
			len(content), sum256(content), description)
	}
	return b.Bytes(), nil
}
