package uplink

import (
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/network"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// keyEvery is how often to look for a private key that could not be loaded or stored: on a full disk it may be possible
// by now.
const keyEvery = 20 * time.Second

// keyring holds the private key.
type keyring struct {
	load func(config.Uplink) (identity.Identity, error)
	log  *slog.Logger
	id   identity.Identity // in use
	next identity.Identity // takes its place when a gateway has answered it; the zero Identity for none
	err  error             // there is none that can be used
	at   time.Time         // when to look again
	none bool              // none is needed: the device is another program's
}

// update looks whether there is another key now; changed says so. One that is found beside a key in use waits: see
// rekeying. A stored key that cannot be used any more does not take the old one's place: the tunnel works, and the file
// may be the operator's slip.
func (k *keyring) update(cfg config.Uplink, now time.Time) (changed bool) {
	if k.none = cfg.Borrowed; k.none {
		return false
	}
	first := k.id.Private.IsZero()
	k.at = now.Add(keyEvery)
	id, err := k.load(cfg)
	switch {
	case err != nil && first:
		k.err = err
		return false
	case err != nil:
		k.log.Error("the stored key cannot be used; going on with the one in use", "err", err)
		return false
	case first:
		k.use(id)
		return true
	case id.Public == k.id.Public:
		if k.id.NotStored != nil && id.NotStored == nil {
			k.log.Info("the private key is stored now")
		}
		changed = k.waiting() // and is taken back
		k.id, k.next = id, identity.Identity{}
		return changed
	case id.Public == k.next.Public:
		return false
	}
	k.next = id
	return true
}

// use puts a key into use.
func (k *keyring) use(id identity.Identity) {
	k.id, k.next, k.err = id, identity.Identity{}, nil
	k.log.Info("key ready", "public_key", id.Public, "origin", id.Origin)
	if id.NotStored != nil {
		k.log.Error(inMemory, "err", id.NotStored)
	}
	if id.PublicFileErr != nil {
		k.log.Warn("the key is good, but others cannot read its public half", "err", id.PublicFileErr)
	}
}

// waiting says that there is a key that waits to be used.
func (k *keyring) waiting() bool { return !k.next.Private.IsZero() }

// wanted is the public half of the key that is to be used in the end, if it is not already.
func (k *keyring) wanted() wgtypes.Key {
	if k.waiting() {
		return k.next.Public
	}
	return k.id.Public
}

// inMemory is said of a key that could not be stored.
const inMemory = "the private key is in memory alone: after a restart the node has another one, and is another node " +
	"to its gateways"

// missing says that there is no key, or none on the disk.
func (k *keyring) missing() bool { return k.err != nil || k.id.NotStored != nil }

// due says that it is time to look for a key that is missing.
func (k *keyring) due(now time.Time) bool { return k.missing() && !now.Before(k.at) }

func (k *keyring) public() peerselector.Key { return peerselector.Key(k.id.Public) }

// forDevices is what goes onto the devices.
func (k *keyring) forDevices(cfg *config.Uplink) network.Key {
	out := network.Key{Link: cfg.LinkLocal.Of(k.public())}
	if !k.id.Private.IsZero() {
		out.Private = k.id.Private.Reveal()
	}
	return out
}
