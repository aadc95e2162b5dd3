package control

import "context"

// Op names an operation of a store.
type Op string

// The operations.
const (
	OpGet    Op = "get"
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpWatch  Op = "watch"
	OpProbe  Op = "probe"
)

// Faults of a handle of Memory. A nil hook does nothing. Hooks are called by
// the goroutine of the operation and may block it.
type Faults struct {
	// Before may fail an operation that then has no effect.
	Before func(op Op, key string) error

	// After may fail an operation that has taken effect: the answer is lost.
	After func(op Op, key string) error

	// Stale says by how many values of the key a Get is behind.
	Stale func(key string) int
}

// Inject replaces the faults of this handle.
func (m *Memory) Inject(f Faults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = f
}

// Outage begins or ends a time in which this handle reaches nothing: every
// operation is ErrUnavailable and has no effect, watches are silent.
func (m *Memory) Outage(on bool) {
	m.mu.Lock()
	m.down = on
	m.mu.Unlock()
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	m.table.wake()
}

func (m *Memory) reachable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.down
}

func (m *Memory) before(ctx context.Context, op Op, key string) error {
	select {
	case <-m.closed:
		return ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	hook, down := m.faults.Before, m.down
	m.mu.Unlock()
	if down {
		return ErrUnavailable
	}
	if hook != nil {
		return hook(op, key)
	}
	return nil
}

func (m *Memory) after(op Op, key string) error {
	m.mu.Lock()
	hook := m.faults.After
	m.mu.Unlock()
	if hook != nil {
		return hook(op, key)
	}
	return nil
}

func (m *Memory) behind(key string) int {
	m.mu.Lock()
	hook := m.faults.Stale
	m.mu.Unlock()
	if hook == nil {
		return 0
	}
	return max(0, hook(key))
}
