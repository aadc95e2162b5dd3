package gen

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// slot is what is known of a key. Every decision is made on what the slots
// hold and becomes true by a conditional write alone: what a write brought
// about is never assumed, and a stale view costs a conflict.
type slot struct {
	rev     cluster.Rev
	pending bool          // a Put is under way
	reading bool          // a Fetch is under way, or the key must not be written before one
	lost    bool          // the store refused a write for its revision: what we know is old
	delay   time.Duration // pause before the next Fetch
	denied  time.Duration // since when the store denies what we know; 0: it does not
}

// forget drops all that is known of the store.
func (m *Machine) forget() {
	m.life++
	m.slots = make(map[string]*slot)
	m.leader, m.head = nil, nil
	m.nodes, m.order = make(map[cluster.NodeID]*known), nil
	m.leaderAt = m.now
}

// emptied starts over with a store that has lost what it had.
func (m *Machine) emptied(why string) {
	m.do(Note{"the store was emptied: " + why})
	m.forget()
	m.do(Rewatch{})
}

func (m *Machine) slot(key string) *slot {
	s, ok := m.slots[key]
	if !ok {
		s = new(slot)
		m.slots[key] = s
	}
	return s
}

// free reports whether a key may be written now.
func (m *Machine) free(key string) bool {
	s := m.slot(key)
	return !s.pending && !s.reading
}

// put writes a key if it is free.
func (m *Machine) put(key string, v any) bool {
	s := m.slot(key)
	if s.pending || s.reading {
		return false
	}
	s.pending = true
	m.do(Put{Key: key, Value: encode(v), At: s.rev, life: m.life})
	return true
}

func (m *Machine) fetch(key string, s *slot) {
	s.reading = true
	m.do(Fetch{Key: key, Delay: s.delay, life: m.life})
	s.delay = min(max(m.cfg.Retry, 2*s.delay), 5*m.cfg.Retry)
}

func (m *Machine) wrote(e Wrote) {
	if e.Put.life != m.life {
		return
	}
	s := m.slot(e.Put.Key)
	s.pending = false
	switch {
	case e.Err == nil:
		m.seen(cluster.Entry{Key: e.Put.Key, Value: e.Put.Value, Rev: e.Rev})
		return
	case s.rev != e.Put.At: // the watch has told us already
		return
	case errors.Is(e.Err, cluster.ErrConflict), errors.Is(e.Err, cluster.ErrExists), errors.Is(e.Err, cluster.ErrNotFound):
		s.lost = true
	default:
		s.delay = max(s.delay, m.cfg.Retry)
	}
	m.fetch(e.Put.Key, s)
}

func (m *Machine) fetched(e Fetched) {
	if e.Fetch.life != m.life {
		return
	}
	s := m.slot(e.Fetch.Key)
	s.reading = false
	switch {
	case e.Err == nil && e.Entry.Rev > s.rev:
		m.seen(e.Entry)
	case e.Err == nil || errors.Is(e.Err, cluster.ErrNotFound):
		// Nothing new. After an error of unknown outcome this says little, and
		// writing again under the same revision is safe either way. After a
		// conflict it is an old answer, or the store has been emptied.
		lower := e.Err != nil && s.rev > 0 || e.Err == nil && e.Entry.Rev < s.rev
		if !s.lost && !lower {
			return
		}
		if s.denied == 0 {
			s.denied = m.now
		}
		if m.now-s.denied > m.cfg.StaleAfter {
			m.emptied(fmt.Sprintf("key %s is gone", e.Fetch.Key))
			return
		}
		m.fetch(e.Fetch.Key, s)
	default:
		m.fetch(e.Fetch.Key, s)
	}
}

// seen takes a value of a key unless it is older than what is known.
func (m *Machine) seen(e cluster.Entry) {
	if e.Key == KeyLeader {
		m.named(e)
	}
	s := m.slot(e.Key)
	if e.Rev <= s.rev {
		return
	}
	s.rev, s.lost, s.denied, s.delay = e.Rev, false, 0, 0
	if e.Deleted {
		e.Value = nil
	}
	if err := m.read(e); err != nil {
		m.do(Note{fmt.Sprintf("key %s, revision %d: %v", e.Key, e.Rev, err)})
	}
}

// named looks at the name of the store, under any revision: an emptied store
// may count them from one again.
func (m *Machine) named(e cluster.Entry) {
	var l Leader
	if decode(e.Value, &l) != nil || l.Store == m.store || slices.Contains(m.stores, l.Store) {
		return // a name of the past comes from a message that was late
	}
	if m.store != "" {
		m.stores = append(m.stores, m.store)
		m.emptied("the leader's key was made anew")
	}
	m.store = l.Store
}

// read decodes a value into its place. What cannot be read counts as absent.
func (m *Machine) read(e cluster.Entry) error {
	switch {
	case e.Key == KeyLeader:
		m.leader, m.leaderAt = nil, m.now
		return decode(e.Value, &m.leader)
	case e.Key == KeyHead:
		m.head = nil
		r, err := ParseRecord(e.Value)
		if err != nil {
			return err
		}
		r.rev = e.Rev
		m.newHead(r)
		return nil
	case strings.HasPrefix(e.Key, keyLog):
		n, err := strconv.ParseUint(e.Key[len(keyLog):], 10, 64)
		var l *Link
		if err == nil {
			err = decode(e.Value, &l)
		}
		if err != nil || l == nil || l.N != n {
			return fmt.Errorf("not the link of a generation: %w", err)
		}
		if _, ok := m.links[n]; !ok || n > m.memory.N {
			m.links[n] = *l
		}
		return nil
	}
	if id, ok := cutKey(e.Key, keyNode); ok {
		k := m.node(id)
		k.ann, k.seen = nil, m.now
		err := decode(e.Value, &k.ann)
		if k.ann != nil && k.ann.ID != id {
			k.ann, err = nil, fmt.Errorf("announcement of another node, %q", k.ann.ID)
		}
		return err
	}
	if id, ok := cutKey(e.Key, keyAck); ok {
		k := m.node(id)
		k.ack = nil
		return decode(e.Value, &k.ack)
	}
	return nil
}

func decode(b []byte, v any) error {
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, v)
}
