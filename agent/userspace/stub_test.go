//go:build !userspace

package userspace

import (
	"strings"
	"testing"
)

func TestStub(t *testing.T) {
	if Supported {
		t.Error("the stub says it is supported")
	}
	_, err := Spawn("wg_mesh", "", nil)
	if err == nil || !strings.Contains(err.Error(), "wg_mesh") || !strings.Contains(err.Error(), "kmod-wireguard") {
		t.Errorf("error %v, want one that names the interface and the way out", err)
	}
	if got := Main("wg_mesh", Options{}); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
}
