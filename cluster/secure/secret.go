package secure

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const hidden = "[secret]"

// Secret holds bytes that must not be seen. However it is printed, logged or
// marshalled, it is [secret]; Reveal is the one way to them.
type Secret struct{ b []byte }

// NewSecret keeps a copy of b.
func NewSecret(b []byte) Secret { return Secret{append([]byte(nil), b...)} }

// Reveal returns the bytes, which must not be changed.
func (s Secret) Reveal() []byte { return s.b }

// String implements fmt.Stringer.
func (Secret) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return hidden }

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText implements encoding.TextMarshaler, and so serves JSON, YAML and
// the keys of maps.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// random returns n bytes that nobody can guess.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return b
}

// derive makes the key for a purpose from another (HKDF, RFC 5869).
func derive(master Secret, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, master.b, nil, "espalier 1 "+purpose, 32)
	if err != nil {
		panic(err) // only for lengths beyond 255 hashes
	}
	return key
}

// mac is HMAC-SHA-256 over parts, each preceded by its length.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}
