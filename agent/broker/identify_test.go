//go:build !nobroker

package broker

import (
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentify(t *testing.T) {
	openwrt := map[string]string{
		"etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='23.05.5'\n " +
			"DISTRIB_TARGET=\"ath79/generic\"\n",
		"tmp/sysinfo/board_name":    "tplink,archer-c7-v2\n",
		"proc/sys/kernel/osrelease": "5.15.167\n",
	}
	gluon := map[string]string{"lib/gluon/gluon-version": "v2023.2.4\n", "lib/gluon/release": "v2024.9.1-next\n"}
	for k, v := range openwrt {
		gluon[k] = v
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		board Board
		want  textproto.MIMEHeader
	}{
		{"gluon", gluon, Board{}, textproto.MIMEHeader{
			"User-Agent": {"gluon/v2023.2.4 (tplink,archer-c7-v2) OpenWrt/23.05.5 (kernel/5.15.167; " +
				"ath79/generic) firmware/v2024.9.1-next"},
			"X-Gluon-Version": {"v2023.2.4"}, "X-Board-Name": {"tplink,archer-c7-v2"}, "X-Openwrt-Version": {"23.05.5"},
			"X-Kernel-Version": {"5.15.167"}, "X-Target-Name": {"ath79/generic"},
			"X-Firmware-Version": {"v2024.9.1-next"},
		}},
		{"plain OpenWrt", openwrt, Board{}, textproto.MIMEHeader{
			"User-Agent":   {"(tplink,archer-c7-v2) OpenWrt/23.05.5 (kernel/5.15.167; ath79/generic)"},
			"X-Board-Name": {"tplink,archer-c7-v2"}, "X-Openwrt-Version": {"23.05.5"},
			"X-Kernel-Version": {"5.15.167"}, "X-Target-Name": {"ath79/generic"},
		}},
		{"ubus first", openwrt, Board{Name: "x", Kernel: "6.6.1", Release: "24.10.0", Target: "a/b"},
			textproto.MIMEHeader{
				"User-Agent":   {"(x) OpenWrt/24.10.0 (kernel/6.6.1; a/b)"},
				"X-Board-Name": {"x"}, "X-Openwrt-Version": {"24.10.0"}, "X-Kernel-Version": {"6.6.1"},
				"X-Target-Name": {"a/b"},
			}},
		{"target only", nil, Board{Target: "a/b"}, textproto.MIMEHeader{"User-Agent": {"(a/b)"},
			"X-Target-Name": {"a/b"}}},
		{"kernel only", nil, Board{Kernel: "6.6.1"}, textproto.MIMEHeader{"User-Agent": {"(kernel/6.6.1)"},
			"X-Kernel-Version": {"6.6.1"}}},
		{"nothing", nil, Board{}, textproto.MIMEHeader{"User-Agent": {"wguplink"}}},
		{"hostile", map[string]string{"lib/gluon/release": "\x00\r\u202e é\n"}, Board{Name: "a\r\nX-Evil: 1"},
			textproto.MIMEHeader{
				"User-Agent": {"(aX-Evil: 1)"}, "X-Board-Name": {"aX-Evil: 1"},
			}},
		{"long", nil, Board{Name: strings.Repeat("n", 10000)}, textproto.MIMEHeader{
			"User-Agent": {"(" + strings.Repeat("n", 512) + ")"}, "X-Board-Name": {strings.Repeat("n", 512)},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range tt.files {
				name = filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(tt.want, Identify(root, tt.board)); d != "" {
				t.Error(d)
			}
		})
	}
}
