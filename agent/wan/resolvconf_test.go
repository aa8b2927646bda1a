package wan

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNameServers(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "resolv.conf.auto")
	for f, text := range map[string]string{
		one: "# nameserver 192.0.2.1\nsearch example.org\nnameserver 127.0.0.1\nnameserver\nnameserver " +
			"dns.example.org\n",
		two: "# Interface wan\nnameserver 10.2.0.53 # of the network\n\tnameserver 2001:db8::53\nnameserver " +
			"127.0.0.1\nnameserver fe80::1%wan",
	} {
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := to("127.0.0.1:53", "10.2.0.53:53", "[2001:db8::53]:53", "[fe80::1%wan]:53")
	if got := nameServers([]string{one, filepath.Join(dir, "none"), two}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
