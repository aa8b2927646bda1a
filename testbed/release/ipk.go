package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// IPK packs the files below tree as a package for opkg: a compressed tar of debian-binary, data.tar.gz and
// control.tar.gz. Owner is root, and the time is the release's everywhere, so that the same tree gives the same bytes.
func (p Package) IPK(tree, arch string, epoch int64) ([]byte, error) {
	when := time.Unix(epoch, 0)
	var data bytes.Buffer
	size := 0
	err := packed(&data, func(t *tar.Writer) error {
		return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			n, err := addFile(t, tree, path, d, when)
			size += n
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	control := [][2]string{
		{"control", p.control(arch, size, epoch)},
		{"postinst", p.script(`default_postinst "$0" "$@"`)},
		{"prerm", p.script(`default_prerm "$0" "$@"`)},
	}
	if len(p.Conffiles) > 0 {
		control = append(control, [2]string{"conffiles", strings.Join(p.Conffiles, "\n") + "\n"})
	}
	var about, whole bytes.Buffer
	err = packed(&about, func(t *tar.Writer) error {
		for _, f := range control {
			mode := int64(0o644)
			if strings.HasPrefix(f[1], "#!") {
				mode = 0o755
			}
			if err := addText(t, "./"+f[0], []byte(f[1]), mode, when); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = packed(&whole, func(t *tar.Writer) error {
		for _, f := range []struct {
			name    string
			content []byte
		}{{"./debian-binary", []byte("2.0\n")}, {"./data.tar.gz", data.Bytes()}, {"./control.tar.gz", about.Bytes()}} {
			if err := addText(t, f.name, f.content, 0o644, when); err != nil {
				return err
			}
		}
		return nil
	})
	return whole.Bytes(), err
}

// packed writes a compressed tar, with what add puts in.
func packed(w io.Writer, add func(*tar.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := add(t); err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func addText(t *tar.Writer, name string, content []byte, mode int64, when time.Time) error {
	h := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), ModTime: when, Format: tar.FormatGNU}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := t.Write(content)
	return err
}

// addFile adds a file, folder or link below tree, and returns its size in bytes.
func addFile(t *tar.Writer, tree, path string, d fs.DirEntry, when time.Time) (int, error) {
	info, err := d.Info()
	if err != nil {
		return 0, err
	}
	name, err := filepath.Rel(tree, path)
	if err != nil {
		return 0, err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return 0, err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return 0, err
	}
	h.Name = "./" + filepath.ToSlash(name)
	if name == "." {
		h.Name = "./"
	} else if d.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	h.ModTime, h.AccessTime, h.ChangeTime, h.Format = when, time.Time{}, time.Time{}, tar.FormatGNU
	if err := t.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, err = t.Write(content)
	return len(content), err
}

// readControl takes the file "control" out of a package for opkg.
func readControl(ipk []byte) (string, error) {
	about, err := member(bytes.NewReader(ipk), "control.tar.gz")
	if err != nil {
		return "", err
	}
	control, err := member(bytes.NewReader(about), "control")
	return string(control), err
}

// member returns the content of one file of a compressed tar.
func member(r io.Reader, name string) ([]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("there is no %s", name)
		}
		if err != nil {
			return nil, err
		}
		if strings.TrimPrefix(h.Name, "./") == name {
			return io.ReadAll(t)
		}
	}
}

// listFiles returns all files and links below tree, each as an absolute path of the router, in order.
func listFiles(tree string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, strings.TrimSuffix(tree, "/")))
		}
		return err
	})
	return list, err
}

func sum256(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func hashFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	return sum256(content), err
}
