package agent

import (
	"sync"
	"time"
)

// Status is how the workers of a node stand.
type Status struct {
	Step           uint64         `json:"step"`
	Steps          uint64         `json:"steps"`
	SamplesPerSec  float64        `json:"samples_per_sec"` // of all ranks
	ExposedPercent float64        `json:"exposed_percent"` // of the time of a step, the largest of the workers
	Formed         bool           `json:"formed"`          // they are in a generation that works, as far as they know
	Workers        []WorkerStatus `json:"workers"`
}

// WorkerStatus is how one worker stands, by its last sign of life.
type WorkerStatus struct {
	Worker   int           `json:"worker"`
	Rank     int           `json:"rank"`
	Step     uint64        `json:"step"`
	StepTime time.Duration `json:"step_ns"`
	Exposed  time.Duration `json:"exposed_ns"`
	Deaths   int           `json:"deaths"` // in a row
}

// board is where the loop leaves the status for others.
type board struct {
	mu sync.Mutex
	Status
}

// Status may be called from any goroutine.
func (a *Agent) Status() Status {
	a.board.mu.Lock()
	defer a.board.mu.Unlock()
	return a.board.Status
}

// post renews the status.
func (a *agent) post() {
	s := Status{Formed: a.generation != nil && !a.over}
	for _, w := range a.workers {
		p := w.progress
		s.Step, s.Steps = max(s.Step, w.step), max(s.Steps, p.Steps)
		s.SamplesPerSec = max(s.SamplesPerSec, p.SamplesPerSec)
		if p.StepTime > 0 {
			s.ExposedPercent = max(s.ExposedPercent, 100*p.Exposed.Seconds()/p.StepTime.Seconds())
		}
		s.Workers = append(s.Workers, WorkerStatus{Worker: w.index, Rank: p.Rank, Step: w.step, StepTime: p.StepTime, Exposed: p.Exposed, Deaths: w.deaths})
	}
	a.board.mu.Lock()
	defer a.board.mu.Unlock()
	a.board.Status = s
}
