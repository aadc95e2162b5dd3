package sparsify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"github.com/espalier-ml/espalier/trainer"
)

// Plan says what happens at which step of a run. It is a function of the
// configuration and plain data.
type Plan struct {
	Config Config `json:"config"`
	// Steps is the length of the run.
	Steps  uint64  `json:"steps"`
	Rounds []Round `json:"rounds"`
	// Rewind is the step before which the network is remembered.
	Rewind uint64 `json:"rewind"`
	// Final is the first step behind the last round.
	Final uint64 `json:"final"`
}

// Round is one rise of the temperature: steps First to End-1.
type Round struct {
	First uint64 `json:"first"`
	End   uint64 `json:"end"`
	// Epochs are the first steps of its epochs.
	Epochs []uint64 `json:"epochs"`
}

// Phase says what a step is part of.
type Phase uint8

// Phases in their order.
const (
	PhaseDense  Phase = iota // before the first round: all gates are open
	PhaseSearch              // in a round
	PhaseFinal               // behind the last round: the hard mask holds
)

// Moment is where a step stands.
type Moment struct {
	Phase Phase
	Round int     // in a round
	Epoch int     // within the round
	Beta  float64 // temperature; 1 outside of rounds
}

// NewPlan lays a search over a run: its time line, and the number of samples
// of an epoch.
func NewPlan(c Config, timeline []trainer.Phase, samples int) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	line := clock{timeline, samples}
	total := line.epochs()
	if samples < 1 || total == 0 {
		return nil, fmt.Errorf("sparsify: a run of %v epochs of %d samples", total, samples)
	}
	length := c.Epochs
	if length == 0 {
		if length = c.share(total); length <= 0 {
			return nil, fmt.Errorf("sparsify: %d rounds from epoch %v on do not fit into %.4g epochs", c.Rounds, c.Start, total)
		}
	}
	return newPlan(c, length, line.step, line.steps())
}

// share is the length of a round that divides the run.
func (c *Config) share(total float64) float64 {
	parts := c.Rounds
	if c.Goal == GoalTicket {
		parts++
	}
	e := (total - c.Start) / float64(parts)
	if c.Rise == RiseEpoch {
		e = math.Floor(e + 1e-6)
	}
	return e
}

// newPlan makes a plan of rounds that are `length` epochs long; at is the
// first step of an epoch.
func newPlan(c Config, length float64, at func(epoch float64) uint64, steps uint64) (*Plan, error) {
	p := &Plan{Config: c, Steps: steps, Final: at(c.Start + float64(c.Rounds)*length)}
	if p.Final > steps {
		return nil, fmt.Errorf("sparsify: %d rounds of %v epochs from epoch %v on need %d steps, the run has %d", c.Rounds, length, c.Start, p.Final, steps)
	}
	for i := range c.Rounds {
		begin := c.Start + float64(i)*length
		r := Round{First: at(begin), End: at(begin + length)}
		for e := 0.0; e < length-1e-9; e++ {
			r.Epochs = append(r.Epochs, at(begin+e))
		}
		p.Rounds = append(p.Rounds, r)
	}
	p.Rewind = at(c.Start + c.Rewind)
	switch {
	case c.Rise == RiseEpoch && length < 2 && c.Temperature != 1:
		return nil, fmt.Errorf("sparsify: a round of %v epochs cannot raise the temperature by epochs: want 2 epochs or more, or rise: step", length)
	case c.Goal == GoalTicket && p.Rewind >= p.Rounds[0].End:
		return nil, fmt.Errorf("sparsify: rewind to epoch %v of a round of %v epochs: want an epoch of the first round", c.Rewind, length)
	case c.Goal == GoalTicket && p.Final == steps:
		return nil, fmt.Errorf("sparsify: %d rounds of %v epochs leave no step to train the ticket in: more epochs, or shorter rounds", c.Rounds, length)
	}
	for i, r := range p.Rounds {
		if r.End < r.First+2 {
			return nil, fmt.Errorf("sparsify: round %d of %d has %d steps: want 2 or more", i+1, c.Rounds, r.End-r.First)
		}
	}
	return p, nil
}

// At says where a step stands.
func (p *Plan) At(step uint64) Moment {
	switch {
	case step >= p.Final:
		return Moment{Phase: PhaseFinal, Beta: 1}
	case step < p.Rounds[0].First:
		return Moment{Phase: PhaseDense, Beta: 1}
	}
	i := sort.Search(len(p.Rounds), func(i int) bool { return step < p.Rounds[i].End })
	r := p.Rounds[i]
	m := Moment{Phase: PhaseSearch, Round: i}
	m.Epoch = sort.Search(len(r.Epochs), func(e int) bool { return step < r.Epochs[e] }) - 1
	if p.Config.Rise == RiseStep {
		m.Beta = Temperature(p.Config.Temperature, int(step-r.First), int(r.End-r.First))
	} else {
		m.Beta = Temperature(p.Config.Temperature, m.Epoch, len(r.Epochs))
	}
	return m
}

// last is the temperature at the end of a round.
func (p *Plan) last(round int) float64 { return p.At(p.Rounds[round].End - 1).Beta }

// Restarts are the steps at which the schedule of the learning rate begins
// anew: the rounds and what follows them. The run's Config must have them.
func (p *Plan) Restarts() []uint64 {
	var all []uint64
	add := func(step uint64) {
		if step > 0 && step < p.Steps {
			all = append(all, step)
		}
	}
	for _, r := range p.Rounds {
		add(r.First)
	}
	add(p.Final)
	return all
}

// Hash identifies the plan.
func (p *Plan) Hash() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// clock turns epochs into steps.
type clock struct {
	timeline []trainer.Phase
	samples  int // of an epoch
}

func (c clock) steps() (n uint64) {
	for _, p := range c.timeline {
		n += p.Steps
	}
	return n
}

func (c clock) epochs() float64 {
	n := 0.0
	for _, p := range c.timeline {
		n += float64(p.Steps) * float64(p.Batch)
	}
	return n / float64(c.samples)
}

// step is the step nearest to the start of an epoch. Beyond the end of the
// run it goes on with the last batch; an end missed by less than one step is
// met.
func (c clock) step(epoch float64) (n uint64) {
	left := epoch * float64(c.samples)
	for i, p := range c.timeline {
		k := uint64(math.Round(left / float64(p.Batch)))
		if k <= p.Steps || i == len(c.timeline)-1 {
			if n += k; n == c.steps()+1 {
				n--
			}
			return n
		}
		n += p.Steps
		left -= float64(p.Steps) * float64(p.Batch)
	}
	return n
}
