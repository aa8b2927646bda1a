package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Another release of Gluon or OpenWrt, and another program, are another firmware.
func TestFirmware(t *testing.T) {
	root := t.TempDir()
	own := "wguplink " + version + " " + commit
	if got := firmware(root); got != own {
		t.Errorf("without any file: %q", got)
	}
	for name, text := range map[string]string{
		"lib/gluon/release": "v2026.1-3\n",
		"etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_DESCRIPTION='OpenWrt 24.10.2 " +
			"r28739'\nDISTRIB_TAINTS=''\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := firmware(root), "OpenWrt 24.10.2 r28739, v2026.1-3, "+own; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
