package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

func reveal(k secure.Keyring) (keys [][]byte) {
	for _, s := range k.Keys {
		keys = append(keys, s.Reveal())
	}
	return keys
}

// newestKeyring is that of the store, or else of the credentials.
func (c Config) newestKeyring(ctx context.Context) (secure.Keyring, error) {
	k, err := c.Credentials.Keyring()
	if err != nil || c.Store == nil {
		return k, err
	}
	e, err := c.Store.Get(ctx, secure.KeyringKey)
	if errors.Is(err, cluster.ErrNotFound) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	return c.Credentials.OpenKeyring(e.Value)
}

// Follow uses the keyrings that the store has, the newest as soon as it is
// there, until ctx ends or the store is lost.
func (m *Members) Follow(ctx context.Context, store cluster.Store) error {
	if m.keys == nil {
		return errors.New("follow gossip keys: this member speaks plain text")
	}
	w, err := store.Watch(ctx, secure.KeyringKey)
	if err != nil {
		return fmt.Errorf("follow gossip keys: %w", err)
	}
	for e := range w {
		k, err := m.cfg.Credentials.OpenKeyring(e.Value)
		if err == nil {
			err = m.use(k)
		}
		if err != nil {
			m.log.Warn("keyring refused", zap.Error(err))
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.New("follow gossip keys: the store is gone")
}

// use installs a keyring, unless it is older than the one in use, and lets the
// others know.
func (m *Members) use(k secure.Keyring) error {
	m.keyMu.Lock()
	defer m.keyMu.Unlock()
	if k.Epoch <= m.ring.Epoch {
		return nil
	}
	keep := map[string]bool{}
	for _, key := range reveal(k) {
		keep[string(key)] = true
		if err := m.keys.AddKey(key); err != nil {
			return fmt.Errorf("add gossip key: %w", err)
		}
	}
	if err := m.keys.UseKey(k.Keys[0].Reveal()); err != nil {
		return fmt.Errorf("use gossip key: %w", err)
	}
	for _, key := range slices.Clone(m.keys.GetKeys()) { // RemoveKey changes the original
		if keep[string(key)] {
			continue
		}
		if err := m.keys.RemoveKey(key); err != nil {
			return fmt.Errorf("remove gossip key: %w", err)
		}
	}
	m.ring = k
	m.meta.set(func(t *meta) { t.Keys = k.Epoch })
	m.log.Info("gossip keys changed", zap.Uint64("epoch", k.Epoch), zap.Int("keys", len(k.Keys)))
	if err := m.list.UpdateNode(m.cfg.Timing.Probe); err != nil {
		m.log.Debug("not everyone has heard of our keys yet", zap.Error(err))
	}
	return nil
}

// Rotate replaces the run's gossip key. All members must Follow. It returns
// when the old key is forgotten everywhere; ended before, it leaves keyrings
// with which all members understand each other, and may be called again.
// Only control nodes may write keyrings.
func (m *Members) Rotate(ctx context.Context, store cluster.Store) error {
	if m.keys == nil {
		return errors.New("rotate gossip keys: this member speaks plain text")
	}
	k, rev, err := m.stored(ctx, store)
	if err != nil {
		return fmt.Errorf("rotate gossip keys: %w", err)
	}
	for _, step := range []func(secure.Keyring) secure.Keyring{secure.Keyring.Add, secure.Keyring.Use, secure.Keyring.Drop} {
		k = step(k)
		if rev, err = m.store(ctx, store, k, rev); err != nil {
			return fmt.Errorf("rotate gossip keys: %w", err)
		}
		if err := m.use(k); err != nil {
			return fmt.Errorf("rotate gossip keys: %w", err)
		}
		if err := m.settle(ctx, k.Epoch); err != nil {
			return fmt.Errorf("rotate gossip keys: %w", err)
		}
	}
	return nil
}

// stored is the keyring in the store; revision 0 if there is none.
func (m *Members) stored(ctx context.Context, store cluster.Store) (secure.Keyring, cluster.Rev, error) {
	e, err := store.Get(ctx, secure.KeyringKey)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		m.keyMu.Lock()
		defer m.keyMu.Unlock()
		return m.ring, 0, nil
	case err != nil:
		return secure.Keyring{}, 0, err
	}
	k, err := m.cfg.Credentials.OpenKeyring(e.Value)
	return k, e.Rev, err
}

func (m *Members) store(ctx context.Context, store cluster.Store, k secure.Keyring, at cluster.Rev) (cluster.Rev, error) {
	sealed, err := m.cfg.Credentials.SealKeyring(k)
	if err != nil {
		return 0, err
	}
	if at == 0 {
		return store.Create(ctx, secure.KeyringKey, sealed)
	}
	return store.Update(ctx, secure.KeyringKey, sealed, at)
}

// settle waits until all members use a keyring, or a newer one.
func (m *Members) settle(ctx context.Context, epoch uint64) error {
	for {
		behind, changed := m.roster.behind(epoch)
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("members %v do not have the new keys yet: %w", behind, ctx.Err())
		case <-m.ctx.Done():
			return errors.New("gossip was closed")
		}
	}
}
