package gossip

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster/secure"
)

// protocol is the version of meta.
const protocol = 1

// meta is what a member says about itself with every sign of life.
type meta struct {
	Protocol int    `json:"p"`
	Run      string `json:"r"`
	Build    string `json:"v"`
	Boot     string `json:"b"`
	Keys     uint64 `json:"k,omitempty"` // epoch of the keyring in use
	Leaving  bool   `json:"l,omitempty"`
}

func parseMeta(b []byte) (meta, error) {
	var t meta
	if len(b) > memberlist.MetaMaxSize {
		return t, fmt.Errorf("%w: %d bytes", secure.ErrVersion, len(b))
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("%w: %w", secure.ErrVersion, err)
	}
	return t, nil
}

// metaSource is memberlist's Delegate: it has this member's meta.
type metaSource struct {
	mu  sync.Mutex
	now meta
}

func newMetaSource(c Config) *metaSource {
	return &metaSource{now: meta{Protocol: protocol, Run: c.Run, Build: c.Build, Boot: c.Boot}}
}

func (s *metaSource) get() meta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *metaSource) set(change func(t *meta)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.now)
}

// NodeMeta implements memberlist.Delegate.
func (s *metaSource) NodeMeta(limit int) []byte {
	b, err := json.Marshal(s.get())
	if err != nil || len(b) > limit {
		panic("gossip: meta beyond its limit, which Config.check keeps") // names are bounded
	}
	return b
}

// The rest of memberlist.Delegate: we send no messages of our own.

// NotifyMsg implements memberlist.Delegate.
func (s *metaSource) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (s *metaSource) GetBroadcasts(overhead, limit int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (s *metaSource) LocalState(join bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (s *metaSource) MergeRemoteState(b []byte, join bool) {}

// border refuses members of another run, build or protocol, when they meet us
// and when others speak of them.
type border struct {
	want meta
	log  *zap.Logger

	mu      sync.Mutex
	refusal error // the last of a whole meeting, which memberlist only prints
}

// NotifyMerge implements memberlist.MergeDelegate.
func (b *border) NotifyMerge(peers []*memberlist.Node) error {
	for _, p := range peers {
		if err := b.check(p); err != nil {
			b.log.Warn("members refused", zap.Error(err))
			b.mu.Lock()
			b.refusal = err
			b.mu.Unlock()
			return err
		}
	}
	return nil
}

// NotifyAlive implements memberlist.AliveDelegate.
func (b *border) NotifyAlive(peer *memberlist.Node) error { return b.check(peer) }

func (b *border) refused() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal
}

func (b *border) check(p *memberlist.Node) error {
	t, err := parseMeta(p.Meta)
	switch {
	case err != nil:
		return fmt.Errorf("member %.70q: %w", p.Name, err)
	case t.Protocol != b.want.Protocol:
		return fmt.Errorf("member %.70q: protocol %d: %w, want %d", p.Name, t.Protocol, secure.ErrVersion, b.want.Protocol)
	case t.Run != b.want.Run:
		return fmt.Errorf("member %.70q: run %q: %w than %s", p.Name, t.Run, secure.ErrForeignRun, b.want.Run)
	case t.Build != b.want.Build:
		return fmt.Errorf("member %.70q: build %q: %w, want %q", p.Name, t.Build, secure.ErrVersion, b.want.Build)
	}
	return nil
}
