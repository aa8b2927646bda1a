package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	stdlog "log/slog"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	ours "wguplink/agent/json"
	"wguplink/agent/slog"
)

// leaks tells whether text shows the key in any spelling a formatter might choose.
func leaks(text string, key wgtypes.Key) string {
	low := strings.ToLower(text)
	var decimals, goHex, spacedHex []string
	for _, b := range key {
		decimals = append(decimals, fmt.Sprint(b))
		goHex = append(goHex, fmt.Sprintf("0x%x", b))
		spacedHex = append(spacedHex, fmt.Sprintf("%02x", b))
	}
	for name, form := range map[string]string{
		"base64":     strings.ToLower(key.String()),
		"raw base64": strings.ToLower(base64.RawURLEncoding.EncodeToString(key[:])),
		"hex":        hex.EncodeToString(key[:]),
		"hex of text": hex.EncodeToString([]byte(
			key.String())),
		"decimals":   strings.Join(decimals[:8], " "),
		"json bytes": strings.Join(decimals[:8], ","),
		"go syntax":  strings.Join(goHex[:8], ", "),
		"spaced hex": strings.Join(spacedHex[:8], " "),
		"raw bytes":  strings.ToLower(string(key[:])),
	} {
		if strings.Contains(low, form) {
			return name
		}
	}
	return ""
}

func TestLeaksSees(t *testing.T) {
	key := keyOf(t, bobHex)
	for _, text := range []string{
		key.String(), fmt.Sprintf("%x", [32]byte(key)), fmt.Sprintf("%X", [32]byte(key)),
		fmt.Sprintf("%v", [32]byte(key)),
		fmt.Sprintf("%#v", [32]byte(key)), fmt.Sprintf("% x", [32]byte(key)), string(key[:]),
		fmt.Sprintf("%x", key.String()),
	} {
		if leaks("before "+text+" after", key) == "" {
			t.Errorf("not seen in %q", text)
		}
	}
}

func TestNothingShowsTheKey(t *testing.T) {
	key := keyOf(t, bobHex)
	tree, o := inUCI(t, map[string]string{"wguplink": "mesh.private_key=" + key.String() + "\n"})
	id, err := Load(tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if *id.Private.Reveal() != key {
		t.Fatal("the key cannot be had at all")
	}
	// fmt cannot call methods on unexported fields.
	type hidden struct {
		id   Identity
		key  PrivateKey
		list []PrivateKey
		by   map[string]Identity
	}
	values := map[string]any{
		"key": id.Private, "key pointer": &id.Private, "identity": id, "identity pointer": &id,
		"slice":  []any{id, id.Private},
		"map":    map[string]PrivateKey{"a": id.Private},
		"hidden": hidden{id, id.Private, []PrivateKey{id.Private}, map[string]Identity{"a": id}},
		"error":  fmt.Errorf("it is %v and %s", id.Private, id),
		"zero":   PrivateKey{},
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c",
			"%U", "%t", "%e", "%p"} {
			if form := leaks(fmt.Sprintf(verb, value), key); form != "" {
				t.Errorf("%s with %s shows the key as %s", name, verb, form)
			}
		}
		if form := leaks(fmt.Sprint(value)+fmt.Sprintln(value), key); form != "" {
			t.Errorf("%s printed shows the key as %s", name, form)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if form := leaks(string(raw), key); form != "" {
			t.Errorf("%s in JSON shows the key as %s", name, form)
		}
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		log.Info("start", "value", value)
		log.With("value", value).WithGroup("g").Info(fmt.Sprint(value), slog.Any("again", value))
		own, err := ours.Marshal(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out.Write(own)
		library := stdlog.New(stdlog.NewJSONHandler(&out, nil))
		library.Info("start", "value", value, "message", fmt.Sprint(value))
		if out.Len() == 0 {
			t.Error("nothing logged")
		}
		if form := leaks(out.String(), key); form != "" {
			t.Errorf("%s in the log shows the key as %s", name, form)
		}
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("start", "id", id)
	if !strings.Contains(out.String(), id.Public.String()) {
		t.Errorf("the log lacks the public key: %s", out.String())
	}
}

// leakyTree's errors quote what they were given, as another package's well might.
type leakyTree struct{ *fakeTree }

func (t leakyTree) Set(config, section, option string, values ...string) error {
	raw, _ := base64.StdEncoding.DecodeString(values[0])
	return fmt.Errorf("set %s.%s.%s='%s' (%x): read-only", config, section, option, values[0], raw)
}

func TestForeignErrorsAreScrubbed(t *testing.T) {
	tree, o := inUCI(t, map[string]string{"wguplink": "", "fastd": "mesh_vpn.secret=" + bobHex + "\n"})
	_, err := Load(leakyTree{tree}, o)
	if err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Fatalf("error %v", err)
	}
	if form := leaks(err.Error(), keyOf(t, bobHex)); form != "" {
		t.Errorf("the error shows the key as %s", form)
	}
	if errors.Unwrap(err) != nil {
		t.Error("the error still carries the one that shows the key")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(keyOf(f, bobHex).String())
	f.Add(keyOf(f, aliceHex).String() + "\r\n")
	f.Add(aliceHex)
	f.Add(strings.Repeat("0", 64))
	for _, text := range malformed {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		trimmed := strings.TrimRight(text, " \t\r\n")
		key, err := parseKey(text)
		if err == nil && (key.String() != trimmed || key == (wgtypes.Key{})) {
			t.Errorf("%q is taken for another key", text)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
		imported, ierr := parseImport(text)
		if ierr == nil && imported.String() != trimmed && hex.EncodeToString(imported[:]) != strings.ToLower(trimmed) {
			t.Errorf("%q is imported as another key", text)
		}
		if err == nil && (ierr != nil || imported != key) {
			t.Errorf("%q is a key but cannot be imported", text)
		}
	})
}
