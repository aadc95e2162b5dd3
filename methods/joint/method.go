package joint

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Method gates and quantizes the channels of one run. It is used by one
// goroutine.
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
func (m *Method) Name() string { return "joint" }

// Weight has priced layers compute with stand-ins, on rounded inputs.
func (m *Method) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	if !m.plan.Config.Prices(p) {
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
	case trainer.Finished:
		if err := m.compile(r); err != nil {
			return err
		}
		return m.engine.measure(r)
	}
	return nil
}

// boundary sets what the network computes with in the coming step.
func (m *Method) boundary(r *trainer.Run) error {
	if !m.began {
		if r.Steps() != m.plan.Steps {
			return fmt.Errorf("the run has %d steps, the plan of the joint price %d", r.Steps(), m.plan.Steps)
		}
		m.began = true
	}
	if err := m.compile(r); err != nil {
		return err
	}
	p := m.plan
	switch p.At(r.Step) {
	case PhaseFull:
		return m.engine.plain()
	case PhaseSearch:
		if r.Step == p.First {
			if err := m.engine.remember(); err != nil {
				return err
			}
		}
		if err := m.report(r); err != nil {
			return err
		}
		return m.engine.blur(r.Step)
	}
	if r.Step == p.Switch {
		if err := m.choose(r); err != nil {
			return err
		}
	}
	if err := m.engine.pack(r); err != nil {
		return err
	}
	if m.fresh && r.Step != p.Switch {
		return nil
	}
	return m.engine.round(true, r.Step, false)
}

// compile follows the network through its changes.
func (m *Method) compile(r *trainer.Run) error {
	if m.engine != nil && m.engine.graph == r.Graph() {
		return nil
	}
	if born := r.Births[len(r.Births)-1]; born > m.plan.First {
		return fmt.Errorf("the network grew at step %d, after its channels got a price at step %d: let growth end before start", born, m.plan.First)
	}
	e := newEngine(m.plan, r.Graph(), r.Device(), r.Seed())
	if len(e.layers) == 0 {
		return errors.New("no weight of the network is priced: name some with layers, or fewer with skip")
	}
	m.engine, m.fresh = e, false
	return nil
}

// choose ends the search.
func (m *Method) choose(r *trainer.Run) error {
	if err := m.engine.fix(); err != nil {
		return err
	}
	s, err := m.engine.size(true)
	if err == nil {
		r.Note("priced", s.String())
	}
	return err
}

// report notes what is left at ten places of the search.
func (m *Method) report(r *trainer.Run) error {
	p := m.plan
	done, length := r.Step-p.First, p.Switch-p.First
	if done == 0 || done*10/length == (done-1)*10/length {
		return nil
	}
	bits, kept, err := m.engine.relaxed(p.Beta(r.Step))
	if err == nil {
		r.Note("price", fmt.Sprintf("%.3f relaxed bits in the mean, %.1f %% of the channels' weight is there", bits, 100*kept))
	}
	return err
}

// reduced updates the channels and hands the gradients on to the weights.
func (m *Method) reduced(r *trainer.Run) error {
	phase := m.plan.At(r.Step)
	if phase == PhaseFull {
		return nil
	}
	if m.engine.graph != r.Graph() {
		if r.Births[len(r.Births)-1] == r.Step && r.Step > 0 {
			return errors.New("the network grew behind joint's turn: growing must stand before it among the methods")
		}
		if err := m.compile(r); err != nil {
			return err
		}
	}
	if phase == PhaseSearch {
		return m.engine.learn(r.Step)
	}
	return m.engine.pass()
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
	was := m.plan.At(r.Step - 1)
	if was == PhaseFull {
		return m.engine.plain()
	}
	for _, l := range m.engine.layers {
		if err := m.engine.project(l, was == PhaseSearch); err != nil {
			return err
		}
	}
	m.fresh = was == PhaseFixed
	return m.engine.round(was == PhaseFixed, r.Step-1, r.Step == m.plan.Steps)
}

// Save keeps the plan: everything else follows from the step and the network.
func (m *Method) Save() (json.RawMessage, error) { return trainer.SavePlan(m.plan, m.plan.Hash()) }

// Load refuses a checkpoint of another plan.
func (m *Method) Load(raw json.RawMessage) error {
	return trainer.LoadPlan(raw, m.plan.Hash(), "the joint price")
}
