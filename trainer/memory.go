package trainer

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// Memory keeps the newest state of a run outside of this process, so that it
// outlives the process. One goroutine uses it.
type Memory interface {
	// Load returns the state that was kept last, nil if there is none.
	Load() ([]byte, error)
	// Keep replaces it by what pack returns, which is written into memory if
	// that is large enough. Until then, and if it fails, the last one stays.
	Keep(pack func(memory []byte) ([]byte, error)) error
}

// memoryShare is the inverse of the share of time that copies to Memory may
// take: they become rarer where they would take more.
const memoryShare = 50

// remember keeps a copy of the state in Memory when it is time to. When that is
// has no part in any result.
func (r *Run) remember() {
	m, began := r.cfg.Memory, time.Now()
	if m == nil || r.cfg.MemoryEvery <= 0 || !r.lead || began.Before(r.remembers) {
		return
	}
	err := m.Keep(func(memory []byte) ([]byte, error) {
		st, ts, err := r.state()
		if err != nil {
			return nil, err
		}
		if err := st.Meta.SetPart("spent", spent{r.seconds(), r.flops, r.last}); err != nil {
			return nil, err
		}
		p, err := r.pack(st, ts, memory)
		return p.Bytes, err
	})
	if err != nil {
		r.log.Warn("no copy of the state in memory", zap.Uint64("step", r.Step), zap.Error(err))
	}
	r.remembers = began.Add(max(r.cfg.MemoryEvery, memoryShare*time.Since(began)))
}

// newest is the newest state on disk or in memory, nil if there is none.
func (r *Run) newest() (*held, error) {
	disk, err := r.newestCheckpoint()
	if err != nil || r.cfg.Memory == nil {
		return disk, err
	}
	kept, err := r.remembered()
	switch {
	case err != nil:
		r.log.Warn("the state in memory is of no use", zap.Error(err))
		return disk, nil
	case kept == nil || disk != nil && disk.State.Meta.Step >= kept.State.Meta.Step:
		return disk, nil
	}
	r.log.Info("resuming from memory", zap.Uint64("step", kept.State.Meta.Step))
	if kept.spent.Eval != nil {
		r.reported = kept.spent.Eval.Step
	}
	return kept, nil
}

func (r *Run) remembered() (*held, error) {
	b, err := r.cfg.Memory.Load()
	if err != nil || b == nil {
		return nil, err
	}
	p, err := checkpoint.Unpack(b)
	if err != nil {
		return nil, err
	}
	if job := p.State.Meta.Job; job != r.cfg.Job {
		return nil, fmt.Errorf("it belongs to another job: job hash %.12s, want %.12s", job, r.cfg.Job)
	}
	return heldOf(p.State)
}
