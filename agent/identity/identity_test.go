package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Bob's keys are those of RFC 7748, section 6.1. Alice's stands for a secret of fastd: none of its bits is clamped.
const (
	aliceHex    = "77076d0a7318a57d3c16c17251b26645df1f1b1fea5e8a4c2b2ae1d1b3d1a3f0"
	bobHex      = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
	bobPublic   = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
	place       = "wguplink.mesh.private_key"
	fastdPlace  = "fastd.mesh_vpn.secret"
	secondPlace = "network.wg_mesh.private_key"
)

func keyOf(t testing.TB, digits string) wgtypes.Key {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	key, err := wgtypes.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// inUCI gives a tree with the given packages and options that keep the key in it.
func inUCI(t testing.TB, packages map[string]string) (*fakeTree, Options) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range packages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newFakeTree(dir), Options{
		Package: "wguplink", Section: "mesh", Option: "private_key",
		Import:   []string{fastdPlace, secondPlace},
		LockFile: filepath.Join(t.TempDir(), "lock", "key"),
	}
}

func content(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestLoadFromUCI(t *testing.T) {
	bob, alice := keyOf(t, bobHex), keyOf(t, aliceHex)
	for name, c := range map[string]struct {
		packages map[string]string
		want     *wgtypes.Key
		origin   string
		writes   bool
	}{
		"stored": {map[string]string{"wguplink": "mesh.private_key=" + bob.String() + "\n",
			"fastd": "mesh_vpn.secret=" + aliceHex + "\n"},
			&bob, "uci " + place, false},
		"unclamped stored": {map[string]string{"wguplink": "mesh.private_key=" + alice.String() + "\n"}, &alice,
			"uci " + place, false},
		"fastd secret": {map[string]string{"wguplink": "mesh.enabled=1\n",
			"fastd": "mesh_vpn.secret=" + aliceHex + "\n"},
			&alice, "imported from " + fastdPlace, true},
		"fastd secret in capitals": {map[string]string{"wguplink": "",
			"fastd": "mesh_vpn.secret=" + strings.ToUpper(aliceHex) + "\n"},
			&alice, "imported from " + fastdPlace, true},
		"second place": {map[string]string{"wguplink": "mesh.private_key=\n",
			"network": "wg_mesh.private_key=" + bob.String() + "\n"},
			&bob, "imported from " + secondPlace, true},
		"fastd has none yet": {map[string]string{"wguplink": "", "fastd": "mesh_vpn.secret=generate\n",
			"network": "wg_mesh.private_key=" + bob.String() + "\n"},
			&bob, "imported from " + secondPlace, true},
		"nothing anywhere": {map[string]string{"wguplink": "mesh.enabled=1\n"}, nil, "generated", true},
	} {
		t.Run(name, func(t *testing.T) {
			tree, o := inUCI(t, c.packages)
			id, err := Load(tree, o)
			if err != nil {
				t.Fatal(err)
			}
			got := *id.Private.Reveal()
			if c.want != nil && got != *c.want {
				t.Error("another key than the one given")
			}
			if id.Public != got.PublicKey() {
				t.Errorf("public key %v does not belong to the private key", id.Public)
			}
			if id.Origin != c.origin {
				t.Errorf("origin %q, want %q", id.Origin, c.origin)
			}
			if wrote := len(tree.commits) > 0; wrote != c.writes {
				t.Errorf("committed: %v, want %v", wrote, c.writes)
			}
			for _, config := range tree.commits {
				if config != "wguplink" {
					t.Errorf("committed package %q, which is not ours", config)
				}
			}
			if before := c.packages["wguplink"]; strings.Contains(before, "enabled") &&
				!strings.Contains(content(t, tree.file("wguplink")), "mesh.enabled=1") {
				t.Error("another option was lost")
			}
			// A second start, from disk.
			again, err := Load(newFakeTree(tree.dir), o)
			if err != nil {
				t.Fatal(err)
			}
			if !again.Private.Equal(id.Private) || again.Origin != "uci "+place {
				t.Errorf("the second start has another key or origin (%s)", again.Origin)
			}
		})
	}
}

func TestPublicOfKnownKey(t *testing.T) {
	tree, o := inUCI(t, map[string]string{"wguplink": "mesh.private_key=" + keyOf(t, bobHex).String() + "\n"})
	pub, err := Public(tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if want := keyOf(t, bobPublic); pub != want {
		t.Errorf("public key %v, want %v (RFC 7748)", pub, want)
	}
}

func TestGeneratedKeysDiffer(t *testing.T) {
	seen := map[wgtypes.Key]bool{}
	for i := 0; i < 8; i++ {
		tree, o := inUCI(t, map[string]string{"wguplink": ""})
		id, err := Load(tree, o)
		if err != nil {
			t.Fatal(err)
		}
		key := *id.Private.Reveal()
		if seen[key] || id.Private.IsZero() {
			t.Fatal("a generated key is not new")
		}
		if key[0]&7 != 0 || key[31]&0xc0 != 0x40 {
			t.Error("a generated key is not clamped")
		}
		seen[key] = true
	}
}

// malformed values with a marker that must not show up in the error.
var malformed = map[string]string{
	"garbage":        "MARKERnotakey",
	"too short":      "MARKER" + strings.Repeat("A", 36) + "=",
	"too long":       "MARKER" + strings.Repeat("A", 40) + "==",
	"not base64":     "MARKER" + strings.Repeat("*", 37) + "=",
	"31 bytes":       "MARKER" + strings.Repeat("A", 36) + "==",
	"loose end bits": "MARKER" + strings.Repeat("A", 36) + "B=",
	"no padding":     "MARKER" + strings.Repeat("A", 38),
	"space in front": " MARKER" + strings.Repeat("A", 36) + "=",
	"hex":            "dead" + strings.Repeat("0", 60),
	"all zeros":      base64.StdEncoding.EncodeToString(make([]byte, 32)),
	"only spaces":    "   ",
}

func checkMalformed(t *testing.T, err error, place, value string) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) {
		t.Fatalf("error %v, want ErrMalformed", err)
	}
	text := err.Error()
	if !strings.Contains(text, place) {
		t.Errorf("%q does not name %s", text, place)
	}
	if trimmed := strings.TrimSpace(value); trimmed != "" &&
		(strings.Contains(text, trimmed) || strings.Contains(text, trimmed[:4])) {
		t.Errorf("%q quotes the stored value", text)
	}
	if strings.ContainsAny(text, "\n") {
		t.Errorf("%q is not one line", text)
	}
}

func TestMalformedIsKept(t *testing.T) {
	for name, value := range malformed {
		t.Run(name, func(t *testing.T) {
			text := "mesh.private_key=" + value + "\n"
			tree, o := inUCI(t, map[string]string{"wguplink": text, "fastd": "mesh_vpn.secret=" + aliceHex + "\n"})
			_, err := Load(tree, o)
			checkMalformed(t, err, place, value)
			if !strings.Contains(err.Error(), "delete the option") {
				t.Errorf("%q does not name a way out", err)
			}
			checkMalformed(t, Check(tree, o), place, value)
			_, err = Public(tree, o)
			checkMalformed(t, err, place, value)
			if len(tree.commits) > 0 || content(t, tree.file("wguplink")) != text {
				t.Error("the stored value was touched")
			}

			dir := t.TempDir()
			o = Options{KeyFile: filepath.Join(dir, "key"), Import: o.Import}
			if err := os.WriteFile(o.KeyFile, []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Load(tree, o)
			checkMalformed(t, err, o.KeyFile, value)
			if !strings.Contains(err.Error(), "remove the file") {
				t.Errorf("%q does not name a way out", err)
			}
			if content(t, o.KeyFile) != value {
				t.Error("the key file was touched")
			}
		})
	}
}

func TestMalformedImport(t *testing.T) {
	values := map[string]string{"63 digits": "MARK" + aliceHex[5:], "not hex": "MARK" + aliceHex[4:],
		"zero secret": strings.Repeat("0", 64)}
	for name, value := range malformed {
		if name != "hex" { // a good secret of fastd
			values[name] = value
		}
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			tree, o := inUCI(t, map[string]string{"wguplink": "mesh.enabled=1\n",
				"fastd": "mesh_vpn.secret=" + value + "\n"})
			_, err := Load(tree, o)
			checkMalformed(t, err, fastdPlace, value)
			checkMalformed(t, Check(tree, o), fastdPlace, value)
			if len(tree.commits) > 0 {
				t.Error("a key was stored although the import failed")
			}
		})
	}
}

func TestImportPlaces(t *testing.T) {
	for _, bad := range []string{"", "fastd", "fastd.mesh_vpn", "fastd..secret", ".a.b", "a.b.", "a.b.c.d"} {
		tree, o := inUCI(t, map[string]string{"wguplink": ""})
		o.Import = []string{bad}
		if _, err := Load(tree, o); err == nil || !strings.Contains(err.Error(), "package.section.option") {
			t.Errorf("place %q: %v", bad, err)
		}
		if Check(tree, o) == nil {
			t.Errorf("place %q passes the check", bad)
		}
	}
	// A package that is there but cannot be read may hold the key: no new one is made.
	tree, o := inUCI(t, map[string]string{"wguplink": "", "fastd": "broken\n"})
	if _, err := Load(tree, o); err == nil || !strings.Contains(err.Error(), fastdPlace) {
		t.Errorf("broken import package: %v", err)
	}
	if len(tree.commits) > 0 {
		t.Error("a key was made although an import place could not be read")
	}
}

func TestCheckAndPublicWriteNothing(t *testing.T) {
	for name, packages := range map[string]map[string]string{
		"nothing":    {"wguplink": "mesh.enabled=1\n"},
		"importable": {"wguplink": "mesh.enabled=1\n", "fastd": "mesh_vpn.secret=" + aliceHex + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, o := inUCI(t, packages)
			keyFile := o
			keyFile.KeyFile = filepath.Join(t.TempDir(), "sub", "key")
			for _, o := range []Options{o, keyFile} {
				if err := Check(tree, o); err != nil {
					t.Errorf("Check: %v", err)
				}
				if _, err := Public(tree, o); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("Public: %v, want os.ErrNotExist", err)
				}
			}
			if len(tree.commits) > 0 || content(t, tree.file("wguplink")) != "mesh.enabled=1\n" {
				t.Error("UCI was written")
			}
			for _, path := range []string{filepath.Dir(keyFile.KeyFile), filepath.Dir(o.LockFile)} {
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s was made", path)
				}
			}
		})
	}
}

func TestStoringFails(t *testing.T) {
	failure := errors.New("no space left on device")
	for name, spoil := range map[string]func(*fakeTree){
		"set":    func(tree *fakeTree) { tree.setErr = failure },
		"commit": func(tree *fakeTree) { tree.commitErr = failure },
	} {
		t.Run(name, func(t *testing.T) {
			tree, o := inUCI(t, map[string]string{"wguplink": "mesh.enabled=1\n"})
			spoil(tree)
			id, err := Load(tree, o)
			if !errors.Is(err, failure) || !strings.Contains(err.Error(), place) {
				t.Fatalf("error %v", err)
			}
			if !id.Private.IsZero() || id.Public != (wgtypes.Key{}) {
				t.Error("a key came with the error")
			}
			if _, ok := tree.GetLast("wguplink", "mesh", "private_key"); ok {
				t.Error("the key stays staged, and would look stored next time")
			}
		})
	}
	t.Run("no package", func(t *testing.T) {
		tree, o := inUCI(t, nil)
		if _, err := Load(tree, o); err == nil || errors.Is(err, os.ErrNotExist) ||
			!strings.Contains(err.Error(), place) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("read back differs", func(t *testing.T) {
		tree, o := inUCI(t, map[string]string{"wguplink": ""})
		other := keyOf(t, bobHex)
		tree.afterCommit = func() {
			os.WriteFile(tree.file("wguplink"), []byte("mesh.private_key="+other.String()+"\n"), 0o600)
		}
		id, err := Load(tree, o)
		if err == nil || !id.Private.IsZero() {
			t.Fatalf("a key that is not the stored one is used (%v)", err)
		}
		if strings.Contains(err.Error(), other.String()) {
			t.Error("the error shows the key")
		}
	})
}
