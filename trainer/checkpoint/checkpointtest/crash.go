package checkpointtest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns the file system as it may be found after the machine stopped
// now and started again; m is unchanged. Variant 0 has lost everything that
// was not synced, variant 1 nothing (as when only the process is killed), and
// any other variant decides entry by entry and may cut unsynced files short.
func (m *Memory) Crash(variant uint64) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{variant: variant, rng: rand.New(rand.NewPCG(variant, 0))}
	return &Memory{root: c.folder(m.root)}
}

type crash struct {
	variant uint64
	rng     *rand.Rand
}

// survives decides whether an unsynced change has reached the disk.
func (c crash) survives() bool { return c.variant == 1 || c.variant > 1 && c.rng.IntN(2) == 0 }

func (c crash) folder(n *node) *node {
	out := newFolder()
	names := maps.Clone(n.live)
	maps.Copy(names, n.durable)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child := n.durable[name]
		if child != n.live[name] && c.survives() {
			child = n.live[name]
		}
		switch {
		case child == nil:
			continue
		case child.live != nil:
			child = c.folder(child)
		default:
			content := c.content(child)
			child = &node{data: content, synced: content}
		}
		out.live[name], out.durable[name] = child, child
	}
	return out
}

func (c crash) content(n *node) []byte {
	if !c.survives() {
		return slices.Clone(n.synced)
	}
	data := slices.Clone(n.data)
	if c.variant > 1 && len(n.synced) < len(data) {
		data = data[:len(n.synced)+c.rng.IntN(len(data)-len(n.synced)+1)]
	}
	return data
}
