//go:build userspace

package userspace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadMemInfo(t *testing.T) {
	tests := []struct {
		name, content string
		want          memInfo
		wantErr       string // of readMemInfo
		wantCheck     string // of check
	}{
		{
			name:    "plenty",
			content: "MemTotal:         124000 kB\nMemFree:   3 kB\nMemAvailable:      60000 kB\nBuffers: 0 kB\n",
			want:    memInfo{124000 << 10, 60000 << 10},
		},
		{name: "at the floor", content: "MemTotal: 60000 kB\nMemAvailable: 24576 kB\n",
			want: memInfo{60000 << 10, 24 << 20}},
		{
			name: "below the floor", content: "MemTotal: 60000 kB\nMemAvailable: 24575 kB\n",
			want: memInfo{60000 << 10, 24575 << 10}, wantCheck: "kmod-wireguard",
		},
		{name: "empty", wantErr: "no MemTotal"},
		{name: "one missing", content: "MemTotal: 60000 kB\n", wantErr: "no MemAvailable"},
		{name: "no number", content: "MemTotal: many kB\nMemAvailable: 1 kB\n", wantErr: "MemTotal"},
		{name: "negative", content: "MemTotal: -1 kB\nMemAvailable: 1 kB\n", wantErr: "MemTotal"},
		{name: "overflow", content: "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n", wantErr: "MemTotal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "meminfo")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readMemInfo(path)
			if !errorHas(err, tt.wantErr) {
				t.Fatalf("error %v, want %q", err, tt.wantErr)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if err == nil && !errorHas(got.check(), tt.wantCheck) {
				t.Errorf("check gives %v, want %q", got.check(), tt.wantCheck)
			}
		})
	}
	if _, err := readMemInfo(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if m, err := readMemInfo(""); err != nil || m.total < m.available || m.available == 0 {
		t.Errorf("this machine: %+v, %v", m, err)
	}
}

func errorHas(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

func TestRateLog(t *testing.T) {
	var b strings.Builder
	now := time.Unix(1700000000, 0)
	l := newRateLog(&b, "p: ", func() time.Time { return now })
	for i := range 100 {
		l.printf("line %d", i)
	}
	if got := strings.Count(b.String(), "\n"); got != logBurst {
		t.Errorf("%d lines at once, want %d", got, logBurst)
	}
	if !strings.HasPrefix(b.String(), "p: line 0\np: line 1\n") {
		t.Errorf("lines %q", b.String())
	}
	b.Reset()
	now = now.Add(logInterval - 1)
	l.printf("too early")
	now = now.Add(1)
	l.printf("in time")
	l.printf("too many")
	if want := "p: in time (and 93 lines left out before)\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	b.Reset()
	now = now.Add(time.Hour)
	for range 100 {
		l.printf("x")
	}
	if got := strings.Count(b.String(), "\n"); got != logBurst {
		t.Errorf("%d lines after an hour, want %d", got, logBurst)
	}
}
