// Package identity owns the WireGuard private key of an uplink: it loads the stored one, else takes over one that an
// earlier VPN left behind, else makes a new one. It is the only package that reads or writes a private key.
//
// A key is on stable storage before Load returns it, so that a gateway never learns a key that a power cut then takes
// away. The one exception is a disk that is full or read-only: the node runs with a key in memory, and says so. A
// stored key that cannot be read is an error and is left as it is: it may be the only copy.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/slog"
)

// Tree is what identity needs of UCI.
type Tree interface {
	// LoadConfig reads a package; with force anew from disk. An absent package is os.ErrNotExist.
	LoadConfig(config string, force bool) error
	// GetLast gives the value of an option, or the last one of a list.
	GetLast(config, section, option string) (string, bool)
	Set(config, section, option string, values ...string) error
	// Commit brings our own changes of the packages to stable storage.
	Commit(config ...string) error
	// Revert drops our own uncommitted changes of the packages.
	Revert(config ...string)
}

// Options say where the key lives.
type Options struct {
	// Package, Section and Option are the place in UCI; unused when KeyFile is set.
	Package, Section, Option string
	// KeyFile is an absolute path; empty means that the key lives in UCI.
	KeyFile string
	// PublicFile, if set, is the absolute path of a file that is to hold the public key for others to read.
	PublicFile string
	// Import lists places "package.section.option" of keys to take over when none is stored: a WireGuard private key,
	// or the secret of fastd as 64 hex digits. The first one that holds a key is used, and is left where it is.
	Import []string
	// LockFile keeps two processes from making a key for the same UCI option at once. It is made if need be and stays
	// empty. Without it only callers within this process are kept apart. A key file needs none: its folder is locked.
	LockFile string
	// NoNew says why no key is made or imported where none is stored, in a sentence; "" when one may be.
	NoNew string
	// Found has the key looked for in a damaged file, and in the places of Import, where it cannot be read from its
	// own.
	Found Lost
	// Unstored is a key that was made before and could not be stored: it is stored now, instead of another one.
	Unstored PrivateKey
}

func (o Options) place() string {
	if o.KeyFile != "" {
		return "file " + o.KeyFile
	}
	return o.Package + "." + o.Section + "." + o.Option
}

// wayOut says how to start afresh, for the end of an error message.
func (o Options) wayOut() string {
	if o.KeyFile != "" {
		return "restore it from a copy, or remove the file to have a new key made"
	}
	return "restore it from a copy, or delete the option to have a new key made"
}

// Identity is who this uplink is to its gateways.
type Identity struct {
	Private PrivateKey
	Public  wgtypes.Key
	// Origin is where the key came from this time: "uci P.S.O", "file F", "imported from P.S.O" or "generated".
	Origin string
	// NotStored says why the key is in memory alone: the disk is full or read-only. It is used nevertheless, and lost
	// with the process.
	NotStored error
	// PublicFileErr says why the public key could not be written to its file. The key is good nevertheless.
	PublicFileErr error
}

// OnDevice is the identity whose key a device of ours works with.
func OnDevice(private *wgtypes.Key) Identity {
	return Identity{Private: newPrivateKey(private), Public: private.PublicKey(), Origin: "in use on the device"}
}

// LogValue gives the public half only.
func (i Identity) LogValue() slog.Value {
	return slog.GroupValue(slog.String("public_key", i.Public.String()), slog.String("origin", i.Origin))
}

// ErrMalformed is inside every error about a key that is there but is no key.
var ErrMalformed = errors.New("malformed private key")

// loading keeps callers within this process apart; flock does so for processes.
var loading sync.Mutex

// Load gives the stored key; if there is none it imports or generates one, stores it, and reads it back.
// On an error there is no key to use. No error contains any part of a key.
func Load(tree Tree, o Options) (Identity, error) {
	loading.Lock()
	defer loading.Unlock()
	id, err := load(tree, o)
	if err == nil && id.NotStored == nil && o.PublicFile != "" {
		id.PublicFileErr = publish(o.PublicFile, id.Public)
	}
	return id, err
}

func load(tree Tree, o Options) (Identity, error) {
	// The usual case needs neither a lock nor a writable disk.
	key, err := stored(tree, o, false)
	if err == nil {
		return identityOf(&key, o.origin()), nil
	}
	if o.NoNew != "" {
		return o.withoutNew(tree, err)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return Identity{}, err
	}

	unlock, lockErr := o.lock()
	switch {
	case lockErr == nil:
		defer unlock()
	case !noRoom(lockErr):
		return Identity{}, lockErr
	}

	// Another program may have stored a key while we waited for the lock.
	key, err = stored(tree, o, true)
	if err == nil {
		return identityOf(&key, o.origin()), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return Identity{}, err
	}

	key, origin, err := fresh(tree, o)
	if err != nil {
		return Identity{}, err
	}
	if o.KeyFile != "" && lockErr != nil { // there is not even a folder for it
		err = lockErr
	} else {
		err = store(tree, o, &key)
	}
	if noRoom(err) {
		id := identityOf(&key, origin)
		id.NotStored = scrub(fmt.Errorf("%s: cannot store the private key: %w", o.place(), err), &key)
		return id, nil
	} else if err != nil {
		return Identity{}, scrub(fmt.Errorf("%s: cannot store the private key, so it is not used: %w", o.place(), err),
			&key)
	}
	back, err := stored(tree, o, true)
	if err != nil {
		return Identity{},
			scrub(fmt.Errorf("%s: the private key just stored cannot be read back, so it is not used: %w",
				o.place(), err), &key)
	}
	if back != key {
		return Identity{},
			fmt.Errorf(
				"%s: another private key than the one just stored is read back, so neither is used: look for another "+
					"program or a staged change that sets it", o.place())
	}
	return identityOf(&key, origin), nil
}

// fresh gives a key for a node that has none stored.
func fresh(tree Tree, o Options) (key wgtypes.Key, origin string, err error) {
	if !o.Unstored.IsZero() {
		return *o.Unstored.Reveal(), generated, nil
	}
	key, origin, err = imported(tree, o)
	if errors.Is(err, os.ErrNotExist) {
		origin = generated
		if key, err = wgtypes.GeneratePrivateKey(); err != nil {
			err = fmt.Errorf("%s: no key stored, and none can be generated: %w", o.place(), err)
		}
	}
	return key, origin, err
}

// generated is the Origin of a key that was made.
const generated = "generated"

// noRoom tells whether an error comes from a disk that takes nothing now, full or read-only.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// Check tells what Load would complain about in the places it reads. It writes nothing. No key yet is no error.
func Check(tree Tree, o Options) error {
	_, err := stored(tree, o, false)
	if errors.Is(err, os.ErrNotExist) && o.NoNew != "" {
		_, err = o.withoutNew(tree, err)
		return err
	}
	if errors.Is(err, os.ErrNotExist) {
		_, _, err = imported(tree, o)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Public gives the public half of the stored key, os.ErrNotExist when there is none yet. It writes nothing.
func Public(tree Tree, o Options) (wgtypes.Key, error) {
	key, err := stored(tree, o, false)
	if err == nil {
		return key.PublicKey(), nil
	}
	if _, _, ok := o.find(tree); ok {
		return o.Found.Public, nil
	}
	return wgtypes.Key{}, err
}

func identityOf(key *wgtypes.Key, origin string) Identity {
	return Identity{Private: newPrivateKey(key), Public: key.PublicKey(), Origin: origin}
}

func (o Options) origin() string {
	if o.KeyFile != "" {
		return o.place()
	}
	return "uci " + o.place()
}

func (o Options) lock() (unlock func(), err error) {
	switch {
	case o.KeyFile != "":
		return lockFolder(o.KeyFile)
	case o.LockFile != "":
		return lockFile(o.LockFile)
	}
	return func() {}, nil
}

// stored reads the key from its place; os.ErrNotExist when there is none. fresh rereads UCI from disk.
func stored(tree Tree, o Options, fresh bool) (wgtypes.Key, error) {
	text, err := "", error(nil)
	if o.KeyFile != "" {
		text, err = readKeyFile(o.KeyFile)
	} else {
		text, err = readOption(tree, o, fresh)
	}
	if err != nil {
		return wgtypes.Key{}, err
	}
	key, err := parseKey(text)
	if err != nil {
		return wgtypes.Key{}, fmt.Errorf("%s: %w; %s", o.place(), err, o.wayOut())
	}
	return key, nil
}

func readOption(tree Tree, o Options, fresh bool) (string, error) {
	if err := tree.LoadConfig(o.Package, fresh); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			// Not "no key yet": without the package there is no section to store one in.
			return "", fmt.Errorf("%s: there is no UCI package %q to keep the private key in", o.place(), o.Package)
		}
		return "", fmt.Errorf("%s: %w", o.place(), err)
	}
	// UCI does not tell an empty option from an absent one.
	text, ok := tree.GetLast(o.Package, o.Section, o.Option)
	if !ok || text == "" {
		return "", fmt.Errorf("%s: no private key stored yet: %w", o.place(), fs.ErrNotExist)
	}
	return text, nil
}

func store(tree Tree, o Options, key *wgtypes.Key) error {
	if o.KeyFile != "" {
		return writeKeyFile(o.KeyFile, key)
	}
	err := tree.Set(o.Package, o.Section, o.Option, key.String())
	if err == nil {
		err = tree.Commit(o.Package)
	}
	if err != nil {
		// Left staged, the key would look stored to the next Load.
		tree.Revert(o.Package)
	}
	return err
}

// imported gives the first key found in the import places; os.ErrNotExist when there is none.
func imported(tree Tree, o Options) (key wgtypes.Key, origin string, err error) {
	for _, place := range o.Import {
		parts := strings.Split(place, ".")
		if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
			return wgtypes.Key{}, "", fmt.Errorf("key import %q: not a place in UCI: write package.section.option",
				place)
		}
		if err := tree.LoadConfig(parts[0], false); errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			// Going on would make a new key although the old one is perhaps only a broken quote away.
			return wgtypes.Key{}, "", fmt.Errorf("key import %s: %w", place, err)
		}
		text, ok := tree.GetLast(parts[0], parts[1], parts[2])
		// "generate" is OpenWrt's fastd and netifd for "no key yet" (packages/net/fastd/files/fastd.init).
		if !ok || text == "" || text == "generate" {
			continue
		}
		key, err := parseImport(text)
		if err != nil {
			return wgtypes.Key{}, "",
				fmt.Errorf("key import %s: %w; correct it, or take the place out of the list of imports", place, err)
		}
		return key, "imported from " + place, nil
	}
	return wgtypes.Key{}, "", fmt.Errorf("%s: nothing to import: %w", o.place(), fs.ErrNotExist)
}
