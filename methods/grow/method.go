// Package grow trains a network from a quarter of its width to its full size:
// by a fixed plan, in growth events that leave what the network computes
// alone, with the variance of its weights and the learning rates of its parts
// adapted (Yuan, Savarese, Maire, "Accelerated Training via Incrementally
// Growing Neural Networks using Variance Transfer and Learning Rate
// Adaptation", NeurIPS 2023, arXiv 2306.12700).
//
//	plan, err := grow.NewPlan(grow.Defaults(), g.Dims(), samples, epochs, batch, shards)
//	…
//	cfg.Sizes, cfg.Timeline, cfg.Stages = plan.Initial(), plan.Timeline(), len(plan.Stages)
//	cfg.Methods = append(cfg.Methods, grow.New(plan))
//	res, err := trainer.Train(ctx, cfg, nil)
//
// The parts, each usable alone:
//
//   - schedules (schedule.go) and the plan made of them (plan.go): sizes,
//     batches and steps of every stage, and what the run costs;
//   - the values of a grown network (event.go, place.go; peers.go for the
//     method of others that it is compared with);
//   - the rates of its parts (rates.go) and the gradual form of variance
//     transfer (ramp.go).
//
// Promises: the plan is a function of the configuration; new values are a
// function of seed, stage, parameter and place, so all ranks make the same
// and nothing is sent; a run that was stopped at any step, an event's
// included, goes on to the same bits.
//
// Left to others: carrying optimizer state, ages under Adam, and recompiling
// (trainer), the partition of parameters into stages (trainer/graph).
package grow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Method grows the network of one run. It is used by one goroutine.
type Method struct {
	plan  *Plan
	stage int // begun last
	began bool
	stats *statistics
	host  []float32 // scratch of ramp
}

var _ trainer.Planner = (*Method)(nil)

// New returns the method that follows a plan. The run must start with the
// plan's Initial sizes and follow its Timeline.
func New(p *Plan) *Method { return &Method{plan: p} }

// Name is the method's name in job files and checkpoints.
func (m *Method) Name() string { return "grow" }

// Stage is the stage that the network is in, counted from 0.
func (m *Method) Stage() int { return m.stage }

// On grows at boundaries, sets rates before updates and goes on with ramps
// after them.
func (m *Method) On(e trainer.Event, r *trainer.Run) error {
	switch e {
	case trainer.Boundary:
		return m.boundary(r)
	case trainer.Rates:
		return m.rates(r)
	case trainer.Stepped:
		if m.plan.Config.VT == VTRamp {
			return m.ramp(r)
		}
	case trainer.Finished:
		m.closeStatistics()
	}
	return nil
}

// boundary proposes the next stage when its first step has come.
func (m *Method) boundary(r *trainer.Run) error {
	if !m.began {
		if err := m.checkRun(r); err != nil {
			return err
		}
		m.began = true
	}
	if !m.Changes(r.Step) {
		return nil
	}
	next := m.stage + 1
	if err := m.checkSizes(r.Sizes()); err != nil {
		return err
	}
	s := m.plan.Stages[next]
	r.Propose(&trainer.Mutation{
		Event: metrics.EventGrow,
		Text:  fmt.Sprintf("stage %d/%d: widths x%.4g, batch %d", next+1, len(m.plan.Stages), s.Multiplier, s.Batch),
		Sizes: m.plan.Sizes(next),
		Fill:  newEvent(&m.plan.Config, r.Seed(), next, r.Graph()).Fill,
		Born:  true,
	})
	m.stage = next
	return nil
}

// Changes reports whether the boundary before a step begins a stage.
func (m *Method) Changes(step uint64) bool {
	next := m.stage + 1
	return next < len(m.plan.Stages) && step >= m.plan.Stages[next].First
}

// checkRun compares the run with the plan before the first step.
func (m *Method) checkRun(r *trainer.Run) error {
	if r.Steps() != m.plan.Steps() {
		return fmt.Errorf("the run has %d steps, the growth plan %d: the run must follow Plan.Timeline", r.Steps(), m.plan.Steps())
	}
	if last := len(m.plan.Stages) - 1; m.stage == last && r.Step > m.plan.Stages[last].First {
		return nil // what has grown may have been restructured since
	}
	return m.checkSizes(r.Sizes())
}

// checkSizes compares the network's shape with that of the current stage.
func (m *Method) checkSizes(have graph.Sizes) error {
	want := m.plan.Sizes(m.stage)
	for _, n := range want.Names() {
		if !slices.Equal(have[n], want[n]) {
			return fmt.Errorf("dim %s has sizes %v at stage %d of %d, the growth plan wants %v",
				n, have[n], m.stage+1, len(m.plan.Stages), want[n])
		}
	}
	return nil
}

// saved is the method's part of a checkpoint. The whole plan is in it, so
// that a plan that does not fit can be told apart by more than its hash.
type saved struct {
	Stage int             `json:"stage"`
	Hash  string          `json:"hash"`
	Plan  json.RawMessage `json:"plan"`
}

// Save keeps the stage and the plan.
func (m *Method) Save() (json.RawMessage, error) {
	plan, err := json.Marshal(m.plan)
	if err != nil {
		return nil, err
	}
	return json.Marshal(saved{Stage: m.stage, Hash: m.plan.Hash(), Plan: plan})
}

// Load goes on in a saved stage. It refuses a checkpoint of another plan and
// names the first difference.
func (m *Method) Load(raw json.RawMessage) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return fmt.Errorf("the checkpoint was made without growing: start anew or take growing out of the job")
	}
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("growth state: %w", err)
	}
	if s.Hash != m.plan.Hash() {
		return fmt.Errorf("the checkpoint follows another growth plan: %s; start anew or restore the job", difference(s.Plan, m.plan))
	}
	if s.Stage < 0 || s.Stage >= len(m.plan.Stages) {
		return fmt.Errorf("growth state: stage %d of %d", s.Stage, len(m.plan.Stages))
	}
	m.stage = s.Stage
	return nil
}
