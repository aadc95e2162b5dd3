package trainer

import (
	"sync"
	"time"
)

// timing is how long something took.
type timing struct {
	step    time.Duration
	comm    time.Duration // from the first gradients sent to the last word received
	exposed time.Duration // the part of it in which this rank did nothing else
}

func (t *timing) add(u timing) {
	t.step += u.step
	t.comm += u.comm
	t.exposed += u.exposed
}

func (t timing) exposedShare() float64 {
	if t.step <= 0 {
		return 0
	}
	return float64(t.exposed) / float64(t.step)
}

// clock times the communication of a step.
type clock struct {
	first, idle time.Time // of this step, zero before
	timing
}

// sending is called before each bucket is sent.
func (c *clock) sending() {
	if c.first.IsZero() {
		c.first = time.Now()
	}
}

func (c *clock) waiting() { c.idle = time.Now() }

func (c *clock) waited() {
	now := time.Now()
	c.exposed = now.Sub(c.idle)
	c.comm = c.exposed
	if !c.first.IsZero() {
		c.comm = now.Sub(c.first)
	}
	c.first = time.Time{}
}

// end is the timing of a step that took as long as given.
func (c *clock) end(step time.Duration) timing {
	c.step = step
	return c.timing
}

// Progress is how far a run is and how fast it goes, on one rank.
type Progress struct {
	Step, Steps uint64
	Samples     uint64
	Generation  uint64
	Rank, World int
	// SamplesPerSec, StepTime, CommTime and Exposed are means that follow the
	// last steps: of the samples of all ranks, of the time between commits, of
	// its part in which gradients and control word were under way, and of that
	// part in which this rank waited for them and computed nothing.
	SamplesPerSec               float64
	StepTime, CommTime, Exposed time.Duration
}

// progress is what Progress reads while the run goes on.
type progress struct {
	mu sync.Mutex
	Progress
}

// Progress may be called from any goroutine at any time.
func (r *Run) Progress() Progress {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	return r.progress.Progress
}

// entered notes that a generation works.
func (r *Run) entered() {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.progress.Progress = Progress{Step: r.Step, Steps: r.cfg.steps(), Samples: r.Samples(),
		Generation: r.info.Gen.N, Rank: int(r.info.Rank), World: r.info.World}
}

// progressed notes a committed step.
func (r *Run) progressed(t timing) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	p := &r.progress.Progress
	p.Step, p.Samples = r.Step, r.Samples()
	if p.StepTime == 0 {
		p.StepTime, p.CommTime, p.Exposed = t.step, t.comm, t.exposed
	}
	const share = 16
	p.StepTime += (t.step - p.StepTime) / share
	p.CommTime += (t.comm - p.CommTime) / share
	p.Exposed += (t.exposed - p.Exposed) / share
	p.SamplesPerSec = float64(r.net.batch) / p.StepTime.Seconds()
}
