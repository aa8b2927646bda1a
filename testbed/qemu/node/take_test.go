package node

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elfHead is an ELF file's header (elf(5)), without anything else in it.
func elfHead(order binary.ByteOrder, machine uint16) []byte {
	b := make([]byte, 52)
	copy(b, "\x7fELF\x01\x01\x01")
	if order == binary.ByteOrder(binary.BigEndian) {
		b[5] = 2
	}
	order.PutUint16(b[16:], 2)
	order.PutUint16(b[18:], machine)
	order.PutUint32(b[20:], 1)
	order.PutUint16(b[40:], 52)
	return b
}

func zipped(t *testing.T, b []byte, trailer string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out.WriteString(trailer)
	return out.Bytes()
}

func TestTake(t *testing.T) {
	const mips, arm = 8, 40
	disk := bytes.Repeat([]byte{0xeb}, 4096)
	for _, tt := range []struct {
		name, file string
		content    []byte
		arch       string // or
		wrong      string
	}{
		{"disk", "x.img", disk, "amd64", ""},
		{"packed disk with metadata behind", "x.img.gz", zipped(t, disk, `{"metadata_version":"1.1"}`), "amd64", ""},
		{"big-endian kernel", "vmlinux", elfHead(binary.BigEndian, mips), "mips", ""},
		{"little-endian kernel", "vmlinux", elfHead(binary.LittleEndian, mips), "mipsel", ""},
		{"a kernel for something else", "vmlinux", elfHead(binary.LittleEndian, arm), "", "malta"},
		{"not packed", "x.img.gz", disk, "", "gzip"},
		{"empty", "x.img", nil, "", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(file, tt.content, 0o400); err != nil {
				t.Fatal(err)
			}
			b, setup, err := Take(file, t.TempDir())
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("error %v, want one with %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			copied := setup.Drive + setup.Kernel
			if b.Arch != tt.arch || copied == file || (setup.Kernel != "") != (tt.arch != "amd64") {
				t.Errorf("board %s, %+v, want %s", b.Arch, setup, tt.arch)
			}
			if tt.arch == "amd64" {
				if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, disk) {
					t.Errorf("the copy has %d bytes, %v", len(got), err)
				}
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{"": "''", "a b": "'a b'", "it's $x": `'it'\''s $x'`} {
		if got := quote(text); got != want {
			t.Errorf("%q is quoted %s, want %s", text, got, want)
		}
	}
}
