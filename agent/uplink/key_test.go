package uplink

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/slog"
)

// A key that could not be stored is used, and looked after until it is stored. A running uplink keeps its key when the
// stored one is changed or lost.
func TestKeyInMemory(t *testing.T) {
	made, err := identity.Load(nil, identity.Options{KeyFile: filepath.Join(t.TempDir(), "key")})
	if err != nil {
		t.Fatal(err)
	}
	var id identity.Identity
	var loadErr error
	var log bytes.Buffer
	k := keyring{load: func(config.Uplink) (identity.Identity, error) { return id, loadErr },
		log: slog.New(slog.NewTextHandler(&log, nil))}
	now := time.Unix(1000, 0)
	step := func(changed, missing bool, lines int) {
		t.Helper()
		if got := k.update(config.Uplink{}, now); got != changed {
			t.Errorf("changed %v", got)
		}
		if k.missing() != missing || k.due(now) || k.due(now.Add(keyEvery)) != missing {
			t.Errorf("missing %v, due %v", k.missing(), k.due(now.Add(keyEvery)))
		}
		if n := strings.Count(log.String(), "\n"); n != lines {
			t.Errorf("%d lines, want %d:\n%s", n, lines, &log)
		}
		log.Reset()
	}
	loadErr = errors.New("no new one is made")
	step(false, true, 0) // the status says it
	id, loadErr = made, nil
	id.NotStored = errors.New("no space left")
	k.update(config.Uplink{}, now)
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "in memory alone") {
		t.Errorf("not said: %s", &log)
	}
	log.Reset()
	step(false, true, 0)
	id.NotStored = nil
	step(false, false, 1)
	step(false, false, 0)
	loadErr = errors.New("no new one is made")
	step(false, false, 1)
	if k.id.Public != made.Public {
		t.Errorf("the key is %v", k.id.Public)
	}
}
