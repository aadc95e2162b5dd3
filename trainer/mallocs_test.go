package trainer_test

import (
	"encoding/json"
	"runtime"

	"github.com/espalier-ml/espalier/trainer"
)

// mallocs counts the process's heap allocations between two steps of a run.
type mallocs struct {
	first, last uint64
	before      uint64
	perStep     float64
}

func (m *mallocs) Name() string { return "mallocs" }

func (m *mallocs) On(e trainer.Event, r *trainer.Run) error {
	if e != trainer.Boundary || r.Step != m.first && r.Step != m.last {
		return nil
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	if r.Step == m.first {
		m.before = s.Mallocs
	} else {
		m.perStep = float64(s.Mallocs-m.before) / float64(m.last-m.first)
	}
	return nil
}

func (m *mallocs) Save() (json.RawMessage, error) { return nil, nil }
func (m *mallocs) Load(json.RawMessage) error     { return nil }
