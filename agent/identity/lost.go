package identity

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Lost is a key that is somewhere in a damaged file. The zero value is none.
type Lost struct {
	File   string
	Public wgtypes.Key // its public half, by which it is known
}

// withoutNew is for a key that cannot be had from its place for the reason given, and must not be replaced by another.
func (o Options) withoutNew(tree Tree, reason error) (Identity, error) {
	if key, place, ok := o.find(tree); ok {
		return identityOf(&key, "found in "+place), nil
	}
	if errors.Is(reason, os.ErrNotExist) {
		return Identity{}, fmt.Errorf("%s: no private key is found, and no new one is made: %s", o.place(), o.NoNew)
	}
	return Identity{}, fmt.Errorf("%w; no new key is made: %s", reason, o.NoNew)
}

// find looks for a lost key in the damaged file, and where it may have come from or been copied to.
func (o Options) find(tree Tree) (key wgtypes.Key, place string, ok bool) {
	if o.Found.Public == (wgtypes.Key{}) {
		return key, "", false
	}
	if key, ok := o.Found.inFile(); ok {
		return key, "damaged file " + o.Found.File, true
	}
	for _, place := range o.Import {
		if key, _, err := imported(tree, Options{Import: []string{place}}); err == nil &&
			key.PublicKey() == o.Found.Public {
			return key, place, true
		}
	}
	return key, "", false
}

// inFile gives the key if the file has it still, wherever.
func (l Lost) inFile() (wgtypes.Key, bool) {
	text, err := os.ReadFile(l.File)
	if err != nil {
		return wgtypes.Key{}, false
	}
	const digits = 43 // of base64, before the one '='
	for end := 0; ; end++ {
		i := bytes.IndexByte(text[end:], '=')
		if i < 0 {
			return wgtypes.Key{}, false
		}
		end += i
		if end < digits {
			continue
		}
		if key, err := parseKey(string(text[end-digits : end+1])); err == nil && key.PublicKey() == l.Public {
			return key, true
		}
	}
}
