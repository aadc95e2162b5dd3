package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"slices"
)

// KeyringKey is where the store has the keyring, sealed. It has none before
// the first rotation.
const KeyringKey = "secure.keyring"

const maxKeys = 4

// Keyring is the gossip keys of a run. The first is used to send, all to
// receive. A rotation is three keyrings, each of which must have reached all
// members before the next: Add, Use, Drop.
type Keyring struct {
	Epoch uint64
	Keys  []Secret // 32 bytes each
}

// Add has a new key received, not yet sent with.
func (k Keyring) Add() Keyring {
	return Keyring{k.Epoch + 1, append(slices.Clone(k.Keys), Secret{random(32)})}
}

// Use sends with the newest key.
func (k Keyring) Use() Keyring {
	n := len(k.Keys) - 1
	return Keyring{k.Epoch + 1, append([]Secret{k.Keys[n]}, k.Keys[:n]...)}
}

// Drop forgets all keys but the one used to send.
func (k Keyring) Drop() Keyring {
	return Keyring{k.Epoch + 1, slices.Clone(k.Keys[:1])}
}

// Equal reports whether both have the same keys in the same order.
func (k Keyring) Equal(o Keyring) bool {
	return k.Epoch == o.Epoch && slices.EqualFunc(k.Keys, o.Keys, func(a, b Secret) bool { return bytes.Equal(a.b, b.b) })
}

func (r *Run) firstKeyring() Keyring {
	return Keyring{Keys: []Secret{{derive(r.master, "gossip")}}}
}

// Keyring is the one that these papers came with. The store may have a
// newer one.
func (c *Credentials) Keyring() (Keyring, error) {
	if len(c.papers.Seal) == 0 {
		return Keyring{}, fmt.Errorf("%w: these papers have no gossip keys", ErrRole)
	}
	return c.papers.Gossip.keyring()
}

// SealKeyring encrypts a keyring for the store.
func (c *Credentials) SealKeyring(k Keyring) ([]byte, error) {
	if _, err := k.wire().keyring(); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(k.wire())
	if err != nil {
		return nil, err
	}
	box, err := c.box()
	if err != nil {
		return nil, err
	}
	nonce := random(box.NonceSize())
	return box.Seal(nonce, nonce, plain, []byte(c.Identity.Run)), nil
}

// OpenKeyring is the inverse of SealKeyring.
func (c *Credentials) OpenKeyring(b []byte) (Keyring, error) {
	box, err := c.box()
	if err != nil {
		return Keyring{}, err
	}
	n := box.NonceSize()
	if len(b) < n || len(b) > maxAnswer {
		return Keyring{}, fmt.Errorf("keyring of %d bytes: %w", len(b), ErrSealed)
	}
	plain, err := box.Open(nil, b[:n], b[n:], []byte(c.Identity.Run))
	if err != nil {
		return Keyring{}, fmt.Errorf("keyring: %w", ErrSealed)
	}
	var w wireKeyring
	if err := json.Unmarshal(plain, &w); err != nil {
		return Keyring{}, fmt.Errorf("keyring: %w", ErrSealed)
	}
	return w.keyring()
}

func (c *Credentials) box() (cipher.AEAD, error) {
	if len(c.papers.Seal) == 0 {
		return nil, fmt.Errorf("%w: these papers have no key for the keyring", ErrRole)
	}
	block, err := aes.NewCipher(c.papers.Seal)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// wireKeyring is a keyring as it is sent and kept, never in the clear.
type wireKeyring struct {
	Epoch uint64   `json:"epoch"`
	Keys  [][]byte `json:"keys"`
}

func (k Keyring) wire() wireKeyring {
	w := wireKeyring{Epoch: k.Epoch}
	for _, s := range k.Keys {
		w.Keys = append(w.Keys, s.b)
	}
	return w
}

func (w wireKeyring) keyring() (Keyring, error) {
	if len(w.Keys) < 1 || len(w.Keys) > maxKeys {
		return Keyring{}, fmt.Errorf("%w: %d gossip keys, want 1 to %d", ErrRequest, len(w.Keys), maxKeys)
	}
	k := Keyring{Epoch: w.Epoch}
	for _, b := range w.Keys {
		if len(b) != 32 {
			return Keyring{}, fmt.Errorf("%w: gossip key of %d bytes, want 32", ErrRequest, len(b))
		}
		k.Keys = append(k.Keys, NewSecret(b))
	}
	return k, nil
}
