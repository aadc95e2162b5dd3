package control

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/espalier-ml/espalier/cluster"
)

// Memory is a store within the process. A handle is safe for use by several
// goroutines; further handles on the same contents have faults of their own,
// as nodes of a cluster do.
type Memory struct {
	table *table

	mu     sync.Mutex
	faults Faults
	down   bool
	closed chan struct{}
}

// table is what handles share.
type table struct {
	mu      sync.Mutex
	rev     cluster.Rev
	keys    map[string][]cluster.Entry // oldest first, the last keptValues
	changed chan struct{}              // closed and renewed by each change
}

// keptValues of a key are there to be read by a stale Get.
const keptValues = 16

// NewMemory returns an empty store.
func NewMemory() *Memory {
	t := &table{keys: map[string][]cluster.Entry{}, changed: make(chan struct{})}
	return &Memory{table: t, closed: make(chan struct{})}
}

// Handle returns another handle on the same contents, without faults.
func (m *Memory) Handle() *Memory {
	return &Memory{table: m.table, closed: make(chan struct{})}
}

// Get implements cluster.Store.
func (m *Memory) Get(ctx context.Context, key string) (cluster.Entry, error) {
	if err := CheckKey(key); err != nil {
		return cluster.Entry{}, err
	}
	if err := m.before(ctx, OpGet, key); err != nil {
		return cluster.Entry{}, err
	}
	e, ok := m.table.get(key, m.behind(key))
	if !ok {
		return cluster.Entry{}, cluster.ErrNotFound
	}
	return e, m.after(OpGet, key)
}

// Create implements cluster.Store.
func (m *Memory) Create(ctx context.Context, key string, value []byte) (cluster.Rev, error) {
	return m.write(ctx, OpCreate, key, value, 0)
}

// Update implements cluster.Store. A key that does not exist is a conflict.
func (m *Memory) Update(ctx context.Context, key string, value []byte, at cluster.Rev) (cluster.Rev, error) {
	return m.write(ctx, OpUpdate, key, value, at)
}

func (m *Memory) write(ctx context.Context, op Op, key string, value []byte, at cluster.Rev) (cluster.Rev, error) {
	if err := checkWrite(key, value); err != nil {
		return 0, err
	}
	if err := m.before(ctx, op, key); err != nil {
		return 0, err
	}
	rev, err := m.table.put(op, key, value, at)
	if err != nil {
		return 0, err
	}
	if err := m.after(op, key); err != nil {
		return 0, err
	}
	return rev, nil
}

// Watch implements cluster.Store. During an outage it is silent, afterwards
// it goes on with what has changed meanwhile.
func (m *Memory) Watch(ctx context.Context, prefix string) (<-chan cluster.Entry, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	if err := m.before(ctx, OpWatch, prefix); err != nil {
		return nil, err
	}
	out := make(chan cluster.Entry)
	go func() {
		defer close(out)
		for seen := cluster.Rev(0); ; {
			news, changed := m.table.since(seen, prefix)
			if !m.reachable() {
				news = nil
			}
			for _, e := range news {
				select {
				case out <- e:
					seen = e.Rev
				case <-ctx.Done():
					return
				case <-m.closed:
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-m.closed:
				return
			}
		}
	}()
	return out, nil
}

// Close ends this handle and its watches. It does not wait for watchers to
// notice.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}

func (t *table) get(key string, behind int) (cluster.Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.keys[key]
	if behind >= len(h) {
		return cluster.Entry{}, false
	}
	e := h[len(h)-1-behind]
	e.Value = bytes.Clone(e.Value)
	return e, true
}

func (t *table) put(op Op, key string, value []byte, at cluster.Rev) (cluster.Rev, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.keys[key]
	switch {
	case op == OpCreate && len(h) > 0:
		return 0, cluster.ErrExists
	case op == OpUpdate && (len(h) == 0 || h[len(h)-1].Rev != at):
		return 0, cluster.ErrConflict
	}
	t.rev++
	h = append(h, cluster.Entry{Key: key, Value: bytes.Clone(value), Rev: t.rev})
	t.keys[key] = h[max(0, len(h)-keptValues):]
	t.wake()
	return t.rev, nil
}

// since returns the newest entries under a prefix that are newer than rev, in
// the order of their revisions, and a channel that the next change closes.
func (t *table) since(rev cluster.Rev, prefix string) ([]cluster.Entry, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var news []cluster.Entry
	for h := range maps.Values(t.keys) {
		e := h[len(h)-1]
		if e.Rev > rev && strings.HasPrefix(e.Key, prefix) {
			e.Value = bytes.Clone(e.Value)
			news = append(news, e)
		}
	}
	slices.SortFunc(news, func(a, b cluster.Entry) int { return cmp.Compare(a.Rev, b.Rev) })
	return news, t.changed
}

// wake has every watch look again. t.mu is held.
func (t *table) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}
