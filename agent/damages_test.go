package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// damages gives what can become of a file: cut off anywhere, filled with NUL bytes from there on, a byte changed, a
// line lost or twice.
func damages(text string, random *rand.Rand) []string {
	var all []string
	for range 60 {
		i := random.IntN(len(text))
		changed := []byte(text)
		changed[i] ^= 1 << random.IntN(8)
		lines := strings.SplitAfter(text, "\n")
		l := random.IntN(len(lines))
		twice := strings.Join(lines[:l+1], "") + strings.Join(lines[l:], "")
		lost := strings.Join(lines[:l], "") + strings.Join(lines[min(l+1, len(lines)):], "")
		all = append(all, text[:i], text[:i]+strings.Repeat("\x00", len(text)-i), string(changed), twice)
		// to take it out is how a new one is asked for
		if l < len(lines) && !strings.Contains(lines[l], "private_key") {
			all = append(all, lost)
		}
	}
	return all
}

// Any damage to a file with two uplinks: no panic, the file is left alone, and each uplink has its own key, or none.
func TestDamagesKeepTheKeys(t *testing.T) {
	keys := map[string]string{}
	text := ""
	for i, name := range []string{"one", "two"} {
		private := wgtypes.Key(bytes.Repeat([]byte{byte(0x50 + i)}, wgtypes.KeyLen))
		keys[name] = private.PublicKey().String()
		text += strings.NewReplacer("'mesh'\n", "'"+name+"'\n\toption private_key '"+private.String()+
			"'\n\toption interface 'wg"+name+
			"'\n\toption vxlan_interface 'vx"+name+"'\n", "gw1", "gw"+name, "option public_key",
			"option uplink '"+name+"'\n\toption public_key",
			"fe80::1", []string{"fe80::1", "fe80::2"}[i]).Replace(goodConfig) + "\n"
	}
	r, log, write := newReader(t, text)
	_, l, err := r.read()
	if err != nil || log.Len() != 0 || len(l.uplinks) != 2 {
		t.Fatalf("%v, %s: %+v", err, log, l)
	}
	for _, u := range l.uplinks {
		if id, err := r.loadKey(u); err != nil || id.Public.String() != keys[u.Name] {
			t.Fatalf("%+v, %v", id, err)
		}
	}
	kept := map[string][]byte{}
	for _, name := range []string{"wguplink", publicKeys} {
		if kept[name], err = os.ReadFile(filepath.Join(r.o.lastGood(), name)); err != nil {
			t.Fatal(err)
		}
	}
	const seed = 1
	ran, damaged := 0, 0
	for _, wrong := range damages(text, rand.New(rand.NewPCG(seed, seed))) {
		write(wrong)
		for name, b := range kept { // each starts from the good one
			if err := os.WriteFile(filepath.Join(r.o.lastGood(), name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fresh := r.after()
		_, l, err := fresh.read()
		if err != nil {
			t.Fatalf("%q: %v", wrong, err)
		}
		if len(l.notes) > 0 && strings.Contains(l.notes[0], "damaged") {
			damaged++
		}
		for _, u := range l.uplinks {
			id, err := fresh.loadKey(u)
			if err == nil && keys[u.Name] != "" && id.Origin != "uci wguplink."+u.Name+".private_key" &&
				!strings.HasPrefix(id.Origin, "found in") {
				t.Errorf("uplink %s has a new key:\n%s", u.Name, wrong)
			}
			if err == nil && u.Enabled {
				ran++
			}
		}
		if now, err := os.ReadFile(r.o.file()); err != nil || !bytes.Equal(now, []byte(wrong)) {
			t.Errorf("written to:\n%s\nis now\n%s", wrong, now)
		}
	}
	if ran < 100 || damaged < 50 {
		t.Errorf("%d uplinks ran, %d files were damaged", ran, damaged)
	}
}
