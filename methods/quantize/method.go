package quantize

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Method quantizes the network of one run. It is used by one goroutine.
type Method struct {
	plan   *Plan
	engine *engine
	began  bool
	fresh  bool // what the network computes with is that of the coming step

	tracing *graph.Graph // that mode belongs to
	mode    *graph.Value
}

var _ trainer.Weigher = (*Method)(nil)

// New returns the method that follows a plan.
func New(p *Plan) *Method { return &Method{plan: p} }

// Name is the method's name in job files and checkpoints.
func (m *Method) Name() string { return "quantize" }

// Weight has quantized layers compute with stand-ins, on rounded inputs.
func (m *Method) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	if !m.plan.Config.Quantizes(p) {
		return v
	}
	return m.declare(g, p, v)
}

// On follows the plan.
func (m *Method) On(e trainer.Event, r *trainer.Run) error {
	switch e {
	case trainer.Boundary:
		return m.boundary(r)
	case trainer.Reduced:
		return m.reduced(r)
	case trainer.Stepped:
		return m.stepped(r)
	}
	return nil
}

// boundary sets what the network computes with in the coming step.
func (m *Method) boundary(r *trainer.Run) error {
	if !m.began {
		if r.Steps() != m.plan.Steps {
			return fmt.Errorf("the run has %d steps, the plan of quantization %d", r.Steps(), m.plan.Steps)
		}
		m.began = true
	}
	if err := m.compile(r); err != nil {
		return err
	}
	p := m.plan
	if r.Step == p.Switch {
		if err := m.choose(r); err != nil {
			return err
		}
	}
	if m.fresh && r.Step != p.Switch {
		return nil
	}
	switch p.At(r.Step) {
	case PhaseFull:
		return m.engine.plain()
	case PhaseNoise:
		if err := m.report(r); err != nil {
			return err
		}
		return m.engine.blur(r.Step)
	}
	return m.engine.round(true, false)
}

// compile follows the network through its changes.
func (m *Method) compile(r *trainer.Run) error {
	if m.engine != nil && m.engine.graph == r.Graph() {
		return nil
	}
	if born := r.Births[len(r.Births)-1]; born >= m.plan.Switch {
		return fmt.Errorf("the network grew at step %d, after its channels got their bits at step %d: let growth end before the noise phase does", born, m.plan.Switch)
	}
	e := newEngine(&m.plan.Config, r.Graph(), r.Device(), r.Seed())
	if len(e.layers) == 0 {
		return errors.New("no weight of the network is quantized: name some with layers, or fewer with skip")
	}
	if m.engine != nil { // traced anew behind the boundary: the step's noise holds
		for i, l := range m.engine.layers {
			if i < len(e.layers) && l.len() == e.layers[i].len() {
				e.layers[i].noise = l.noise
			}
		}
	}
	m.engine, m.fresh = e, false
	return nil
}

// choose ends the noise phase.
func (m *Method) choose(r *trainer.Run) error {
	relaxed, err := m.engine.meanRelaxed()
	if err != nil {
		return err
	}
	if err := m.engine.fix(); err != nil {
		return err
	}
	mean, err := m.engine.meanBits()
	if err != nil {
		return err
	}
	r.Note("quantized", fmt.Sprintf("%d weights of %d layers have %.3f bits in the mean, %.3f relaxed; activations %s",
		m.engine.total, len(m.engine.layers), mean, relaxed, m.plan.Config.Activations))
	return nil
}

// report notes the precision at ten places of the noise phase.
func (m *Method) report(r *trainer.Run) error {
	p := m.plan
	length := p.Switch - p.First
	done := r.Step - p.First
	if done == 0 || done*10/length == (done-1)*10/length {
		return nil
	}
	relaxed, err := m.engine.meanRelaxed()
	if err == nil {
		r.Note("precision", fmt.Sprintf("%.3f relaxed bits in the mean", relaxed))
	}
	return err
}

// reduced updates the precision variables.
func (m *Method) reduced(r *trainer.Run) error {
	if m.plan.At(r.Step) != PhaseNoise {
		return nil
	}
	if m.engine.graph != r.Graph() {
		if r.Births[len(r.Births)-1] == r.Step && r.Step > 0 {
			return errors.New("the network grew behind quantize's turn: growing must stand before it among the methods")
		}
		if err := m.compile(r); err != nil {
			return err
		}
	}
	return m.engine.learn(r.Step-m.plan.First, m.plan.rate())
}

// stepped keeps weights within their limits and has the network compute with
// rounded weights, so that what is measured and saved is the network that
// would be deployed. At the end of the run they become its own.
func (m *Method) stepped(r *trainer.Run) error {
	if m.engine.graph != r.Graph() {
		if err := m.compile(r); err != nil {
			return err
		}
	}
	was, end := m.plan.At(r.Step-1), r.Step == m.plan.Steps
	if was == PhaseFull {
		return m.engine.plain() // not fresh: gates may change before the next step
	}
	for _, l := range m.engine.layers {
		if err := m.engine.project(l); err != nil {
			return err
		}
	}
	m.fresh = was == PhaseQuant
	if end {
		mean, err := m.engine.meanBits()
		if err != nil {
			return err
		}
		r.Measure("bits", mean)
	}
	return m.engine.round(was == PhaseQuant, end)
}

// Save keeps the plan: everything else follows from the step and the network.
func (m *Method) Save() (json.RawMessage, error) { return trainer.SavePlan(m.plan, m.plan.Hash()) }

// Load refuses a checkpoint of another plan.
func (m *Method) Load(raw json.RawMessage) error {
	return trainer.LoadPlan(raw, m.plan.Hash(), "quantization")
}
