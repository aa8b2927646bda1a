package lowmem

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConstant(t *testing.T) {
	const maps = `00010000-00380000 r-xp 00000000 00:02 1037       /usr/bin/wguplink
00380000-00710000 r--p 00370000 00:02 1037       /usr/bin/wguplink
00710000-00730000 rw-p 00700000 00:02 1037       /usr/bin/wguplink
00730000-00760000 rw-p 00000000 00:00 0
c0000000-c0400000 rw-p 00000000 00:00 0
77d00000-77d20000 r-xp 00000000 00:02 12         /lib/libc.so
77d30000-77d40000 r-xp 00000000 00:00 0          [vdso]
`
	got, err := constant(strings.NewReader(maps), "/usr/bin/wguplink")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]uintptr{{0x10000, 0x380000}, {0x380000, 0x710000}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := constant(strings.NewReader("nonsense r-xp 0 0 0 /bin/x\n"), "/bin/x"); err == nil {
		t.Error("no error for an address that is none")
	}
}

func TestFixedAddress(t *testing.T) {
	elf := func(data, a, b byte) []byte {
		return append([]byte{0x7f, 'E', 'L', 'F', 1, data, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, a, b)
	}
	for _, tt := range []struct {
		what string
		head []byte
		want bool
	}{
		{"little-endian", elf(1, 2, 0), true},
		{"big-endian", elf(2, 0, 2), true},
		{"position-independent", elf(1, 3, 0), false},
		{"position-independent, big-endian", elf(2, 0, 3), false},
	} {
		if got, err := fixedAddress(bytes.NewReader(tt.head)); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v", tt.what, got, err)
		}
	}
	if _, err := fixedAddress(bytes.NewReader(nil)); err == nil {
		t.Error("no error for an empty file")
	}
}
