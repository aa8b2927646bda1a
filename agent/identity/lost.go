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
func (o Options) withoutNew(reason error) (Identity, error) {
	if key, ok := o.Found.find(); ok {
		return identityOf(key, "found in damaged file "+o.Found.File), nil
	}
	if errors.Is(reason, os.ErrNotExist) {
		return Identity{}, fmt.Errorf("%s: no private key is found, and no new one is made: %s", o.place(), o.NoNew)
	}
	return Identity{}, fmt.Errorf("%w; no new key is made: %s", reason, o.NoNew)
}

// find gives the key if the file has it still, wherever.
func (l Lost) find() (wgtypes.Key, bool) {
	if l.File == "" || l.Public == (wgtypes.Key{}) {
		return wgtypes.Key{}, false
	}
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
