package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// leftovers are parts of names that editors and package managers give to files that are not meant to be run.
var leftovers = struct{ ends, parts []string }{
	ends:  []string{"~", ".bak", ".orig", ".rej", ".swp", ".tmp", "-opkg", ".apk-new"},
	parts: []string{".dpkg-", ".ipk-", ".ucf-"},
}

// hooksIn lists the files of a folder that are hooks, in byte order of their names, and what was refused: path to
// reason. A folder that does not exist has none.
func hooksIn(dir string) (names []string, refused map[string]string, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read hooks: %w", err)
	}
	if why := unsafe(info); why != "" {
		return nil, map[string]string{dir: why}, nil
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, nil, fmt.Errorf("read hooks: %w", err)
	}
	refused = map[string]string{}
	for _, e := range entries {
		if !meant(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue // removed just now, a link to nothing, a folder, or switched off with chmod
		}
		if why := unsafe(info); why != "" {
			refused[path] = why
			continue
		}
		names = append(names, e.Name())
	}
	return names, refused, nil
}

// meant says whether the name is one of a file that is meant to be run.
func meant(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	for _, s := range leftovers.ends {
		if strings.HasSuffix(name, s) {
			return false
		}
	}
	for _, s := range leftovers.parts {
		if strings.Contains(name, s) {
			return false
		}
	}
	return true
}

// unsafe says why a file or folder must not decide what we run: a user with fewer rights may change it. "" is safe.
func unsafe(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("it belongs to user %d: make it root's (chown root)", st.Uid)
	}
	if info.Mode()&0o022 != 0 {
		return fmt.Sprintf("others than its owner may write it (mode %04o): take that away (chmod go-w)",
			info.Mode().Perm())
	}
	return ""
}
