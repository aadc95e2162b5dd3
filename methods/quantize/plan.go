package quantize

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/trainer"
)

// Plan says what happens at which step of a run. It is a function of the
// configuration and plain data.
type Plan struct {
	Config Config `json:"config"`
	Steps  uint64 `json:"steps"`
	// First is the first step of the noise phase, Switch that of the
	// quantized one.
	First  uint64 `json:"first"`
	Switch uint64 `json:"switch"`
}

// Phase says what a step is part of.
type Phase uint8

// Phases in their order.
const (
	PhaseFull  Phase = iota // full precision
	PhaseNoise              // precision is trained
	PhaseQuant              // weights and activations are rounded
)

// NewPlan lays the phases over a run: its time line, and the number of samples
// of an epoch.
func NewPlan(c Config, timeline []trainer.Phase, samples int) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	total := 0.0
	p := &Plan{Config: c}
	for _, t := range timeline {
		p.Steps += t.Steps
		total += float64(t.Steps) * float64(t.Batch) / float64(max(1, samples))
	}
	length := c.Epochs
	if length == 0 {
		length = (total - c.Start) / 2
	}
	p.First, p.Switch = stepOf(c.Start, timeline, samples), stepOf(c.Start+length, timeline, samples)
	switch {
	case samples < 1 || p.Steps == 0:
		return nil, fmt.Errorf("quantize: a run of %v epochs of %d samples", total, samples)
	case p.First >= p.Switch:
		return nil, fmt.Errorf("quantize: noise from epoch %v on for %.4g epochs is no step of the %d that the run has: begin earlier, or make it longer", c.Start, length, p.Steps)
	case p.Switch >= p.Steps:
		return nil, fmt.Errorf("quantize: noise from epoch %v on for %.4g epochs leaves no step of %.4g epochs to train the quantized network in", c.Start, length, total)
	}
	return p, nil
}

// stepOf is the step nearest to the start of an epoch.
func stepOf(epoch float64, timeline []trainer.Phase, samples int) (n uint64) {
	left := epoch * float64(samples)
	for i, t := range timeline {
		k := uint64(math.Max(0, math.Round(left/float64(t.Batch))))
		if k <= t.Steps || i == len(timeline)-1 {
			return n + k
		}
		n += t.Steps
		left -= float64(t.Steps) * float64(t.Batch)
	}
	return n
}

// At says what a step is part of.
func (p *Plan) At(step uint64) Phase {
	switch {
	case step < p.First:
		return PhaseFull
	case step < p.Switch:
		return PhaseNoise
	}
	return PhaseQuant
}

// rate is Adam's rate for the precision variables.
func (p *Plan) rate() float64 {
	if p.Config.Rate > 0 {
		return p.Config.Rate
	}
	return math.Min(0.5, 10/float64(p.Switch-p.First))
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
