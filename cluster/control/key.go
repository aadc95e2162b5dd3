package control

import (
	"fmt"
	"strings"
)

// Bounds of what a store takes.
const (
	MaxValue = 64 << 10 // bytes
	MaxKey   = 200      // bytes
)

// CheckKey accepts words of letters, digits, '-', '_' and '=', joined by
// single dots: what is a subject of NATS and a file name everywhere.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: %d bytes, want 1 to %d", ErrKey, len(key), MaxKey)
	}
	for word := range strings.SplitSeq(key, ".") {
		if word == "" || strings.ContainsFunc(word, strange) {
			return fmt.Errorf("%w: %.60q, want words of letters, digits, '-', '_' and '=' joined by dots", ErrKey, key)
		}
	}
	return nil
}

func strange(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '=')
}

// checkPrefix accepts beginnings of keys, the empty one included.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return CheckKey(strings.TrimSuffix(prefix, "."))
}

func checkWrite(key string, value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("%w: %s has %d bytes, want at most %d", ErrTooLarge, key, len(value), MaxValue)
	}
	return CheckKey(key)
}
