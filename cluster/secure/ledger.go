package secure

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/espalier-ml/espalier/cluster"
)

// ledger is the tokens that were used: in the run's store, where all gates see
// them, and before there is one, in memory.
type ledger struct {
	mu     sync.Mutex
	store  cluster.Store
	memory map[string][]byte // nil once there is a store
}

// use is what the ledger says of a token.
type use struct {
	By  string `json:"by"`
	Key string `json:"key"` // hash of the public key: who asks again with it is the same
}

func ledgerKey(c claim) string { return "secure.token." + hex.EncodeToString(c.ID) }

func (l *ledger) early() bool { return l.open() == nil }

func (l *ledger) open() cluster.Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store
}

// redeem notes the use of a token, or finds that it was used by another.
func (l *ledger) redeem(ctx context.Context, c claim, by Identity, key ed25519.PublicKey) error {
	if len(c.ID) != 16 {
		return fmt.Errorf("%w: token id of %d bytes", ErrRequest, len(c.ID))
	}
	hash := sha256.Sum256(key)
	note, err := json.Marshal(use{by.String(), hex.EncodeToString(hash[:])})
	if err != nil {
		return err
	}
	k := ledgerKey(c)
	l.mu.Lock()
	store := l.store
	if store == nil {
		defer l.mu.Unlock()
		if before, ok := l.memory[k]; ok {
			return same(before, note, by)
		}
		if l.memory == nil {
			l.memory = map[string][]byte{}
		}
		l.memory[k] = note
		return nil
	}
	l.mu.Unlock()
	_, err = store.Create(ctx, k, note)
	if errors.Is(err, cluster.ErrExists) {
		before, err := store.Get(ctx, k)
		if err != nil { // reads may be behind
			return fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		return same(before.Value, note, by)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotReady, err)
	}
	return nil
}

func same(before, note []byte, by Identity) error {
	if string(before) != string(note) {
		return fmt.Errorf("%v: %w", by, ErrReplayed)
	}
	return nil
}

// adopt writes what is in memory to the store and goes on there.
func (l *ledger) adopt(ctx context.Context, store cluster.Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, note := range l.memory {
		if _, err := store.Create(ctx, k, note); err != nil && !errors.Is(err, cluster.ErrExists) {
			return fmt.Errorf("note used tokens: %w", err)
		}
	}
	l.store, l.memory = store, nil
	return nil
}
