// Package sparsify removes most weights of a network while it trains, by
// Continuous Sparsification (Savarese, Silva, Maire, "Winning the Lottery with
// Continuous Sparsification", NeurIPS 2020, arXiv 1912.04427): every weight
// has a gate σ(βs) with a trained s, and β rises until gates are open or
// closed.
//
//	plan, err := sparsify.NewPlan(sparsify.Defaults(), timeline, train.Samples())
//	…
//	cfg.Timeline, cfg.Restarts = timeline, plan.Restarts()
//	cfg.Methods = append(cfg.Methods, sparsify.New(plan))
//	res, err := trainer.Train(ctx, cfg, nil)
//
// The parts, each usable alone:
//
//   - the arithmetic of a gate (gate.go) and the plan of a run (plan.go);
//   - the method in the training loop: rounds, rewinding, hard masks
//     (method.go), and its computations on the device (gates.go);
//   - tickets: masks with the weights to train them from (ticket.go), their
//     training in a run of its own (retrain.go), and searches side by side
//     (parallel.go);
//   - what a mask saves (density.go).
//
// Promises: what happens at a step is a function of the plan; a run that was
// stopped at any step goes on to the same bits, at any number of ranks; gates
// need no communication; at the end of a run removed weights are exactly 0 in
// the network's own parameters, and an ordinary network of those parameters
// computes the same.
//
// Left to others: growing before the first round (methods/grow), sending only
// what the mask keeps (collective).
package sparsify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Method thins the network of one run. It is used by one goroutine.
type Method struct {
	// OnTicket, when set, receives the ticket of every round as the round
	// ends, on every rank; after a resume perhaps once more.
	OnTicket func(*Ticket) error

	plan    *Plan
	engine  *engine
	began   bool
	beta    float64 // of the gates as they are; 0 when not known
	rewound remembered
	sendAll bool // of tests: no packing
}

var (
	_ trainer.Weigher = (*Method)(nil)
	_ trainer.Keeper  = (*Method)(nil)
	_ trainer.Planner = (*Method)(nil)
)

// New returns the method that follows a plan. The run must have the plan's
// Restarts.
func New(p *Plan) *Method { return &Method{plan: p} }

// Name is the method's name in job files and checkpoints.
func (m *Method) Name() string { return "sparsify" }

// Weight puts gates on the weights that the configuration names.
func (m *Method) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	c := &m.plan.Config
	if !c.Gates(p) {
		return v
	}
	g.Param(p.Name+softSuffix, graph.ParamSpec{Axes: p.Axes, In: -1, Out: p.Out, Init: graph.InitConst, Gain: float32(c.S0),
		Rate: float32(c.Rate), NoDecay: true, Undecayed: true, Local: true})
	return gate(g, p, v)
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
		m.closeEngine()
		return m.measure(r)
	}
	return nil
}

// boundary does what the plan has before a step.
func (m *Method) boundary(r *trainer.Run) error {
	if !m.began {
		if err := m.begin(r); err != nil {
			return err
		}
		m.began = true
	}
	p, now := m.plan, m.plan.At(r.Step)
	if now.Phase == PhaseSearch || r.Step == p.Final {
		if err := m.compile(r); err != nil {
			return err
		}
	}
	if p.Config.Goal == GoalTicket && r.Step == p.Rewind {
		if err := m.rewound.take(r); err != nil {
			return err
		}
	}
	if now.Phase == PhaseSearch {
		return m.search(r, now)
	}
	if r.Step == p.Final {
		return m.final(r)
	}
	if now.Phase == PhaseFinal {
		return m.pack(r)
	}
	return nil
}

// Changes reports whether the boundary before a step sets gates anew,
// remembers weights or ends the rounds.
func (m *Method) Changes(step uint64) bool {
	p, now := m.plan, m.plan.At(step)
	switch {
	case step == p.Final, p.Config.Goal == GoalTicket && step == p.Rewind:
		return true
	case now.Phase != PhaseSearch:
		return false
	}
	return step == p.Rounds[now.Round].First || m.beta != now.Beta
}

func (m *Method) pack(r *trainer.Run) error {
	if m.sendAll {
		return nil
	}
	return pack(r)
}

// begin compares the run with the plan before its first step here.
func (m *Method) begin(r *trainer.Run) error {
	p := m.plan
	switch {
	case r.Steps() != p.Steps:
		return fmt.Errorf("the run has %d steps, the plan of sparsification %d", r.Steps(), p.Steps)
	case !slices.Equal(r.Restarts(), p.Restarts()):
		return fmt.Errorf("the schedule of rates begins anew at steps %v, the plan of sparsification wants %v: the run must have Plan.Restarts", r.Restarts(), p.Restarts())
	case p.Config.Goal == GoalTicket && r.Step > p.Rewind && r.Step <= p.Final && m.rewound == nil:
		return errors.New("the checkpoint does not hold the weights to rewind to")
	}
	return nil
}

// compile prepares the device for the network as it is now.
func (m *Method) compile(r *trainer.Run) (err error) {
	if m.engine != nil && m.engine.graph == r.Graph() {
		return nil
	}
	first := m.plan.Rounds[0].First
	if born := r.Births[len(r.Births)-1]; born > first {
		return fmt.Errorf("the network grew at step %d, after the first round of sparsification began at step %d: let growth end before start", born, first)
	}
	m.closeEngine()
	m.engine, err = newEngine(&m.plan.Config, r)
	return err
}

// reduced makes the gradients of s.
func (m *Method) reduced(r *trainer.Run) error {
	if m.plan.At(r.Step).Phase != PhaseSearch {
		return nil
	}
	if m.engine.graph != r.Graph() { // traced anew behind the boundary, for another batch
		if r.Births[len(r.Births)-1] == r.Step && r.Step > 0 {
			return errors.New("the network grew behind sparsify's turn: growing must stand before it among the methods")
		}
		beta := m.beta
		if err := m.compile(r); err != nil {
			return err
		}
		if err := m.engine.setSoft(r.Env(), beta); err != nil {
			return err
		}
		m.beta = beta
	}
	if m.plan.Config.Rate == 0 {
		return nil
	}
	return m.engine.slopes(r.Env())
}

func (m *Method) closeEngine() {
	if m.engine != nil {
		m.engine.close()
	}
	m.engine, m.beta = nil, 0
}

// search sets the gates of a step in a round.
func (m *Method) search(r *trainer.Run, now Moment) error {
	round := m.plan.Rounds[now.Round]
	if r.Step == round.First && now.Round > 0 {
		if err := m.reset(r, m.plan.last(now.Round-1)); err != nil {
			return err
		}
	}
	if m.beta == now.Beta {
		return nil
	}
	m.beta = now.Beta
	return m.engine.setSoft(r.Env(), now.Beta)
}

// reset prepares s for the next round; beta is the last one's temperature.
// Weights and optimizer state stay.
func (m *Method) reset(r *trainer.Run, beta float64) error {
	for _, l := range m.engine.layers {
		s, err := read(m.engine.dev, l.soft.W)
		if err != nil {
			return err
		}
		for i, v := range s {
			s[i] = float32(Reset(float64(v), beta, m.plan.Config.S0))
		}
		if err := m.engine.dev.WriteF32(l.soft.W, s); err != nil {
			return err
		}
	}
	m.beta = 0
	return nil
}

// final begins what is behind the rounds: hard gates, and for a ticket the
// remembered weights with fresh optimizer state. s stays for good: its
// gradient and its optimizer state are zero from here on.
func (m *Method) final(r *trainer.Run) error {
	m.beta = 0
	if m.plan.Config.Goal == GoalPrune {
		if err := m.engine.setHard(); err != nil {
			return err
		}
		if err := m.engine.freeze(r); err != nil {
			return err
		}
		m.closeEngine()
		return m.pack(r)
	}
	hard, err := m.engine.hardGates()
	if err != nil {
		return err
	}
	fill, err := m.rewound.filler(r.Graph(), hard)
	if err != nil {
		return err
	}
	m.rewound = nil
	m.closeEngine()
	r.Propose(&trainer.Mutation{Event: "rewind", Sizes: r.Sizes(), Fill: fill, ResetState: true,
		Text: fmt.Sprintf("the ticket goes back to the weights of step %d", m.plan.Rewind)})
	return nil
}

// stepped brings the gates up to date, so that what is measured and saved is
// the network after the step, and ends rounds and the run.
func (m *Method) stepped(r *trainer.Run) error {
	p := m.plan
	was := p.At(r.Step - 1)
	end := r.Step == p.Steps
	if was.Phase == PhaseSearch {
		if err := m.refresh(r, was, end); err != nil {
			return err
		}
		if r.Step == p.Rounds[was.Round].End {
			if err := m.endRound(r, was.Round); err != nil {
				return err
			}
		}
	}
	if end {
		return fold(r.Device(), layers(r.Graph()))
	}
	return nil
}

// refresh sets the gates after a step of a round.
func (m *Method) refresh(r *trainer.Run, was Moment, end bool) error {
	if end || m.plan.Config.HardEval {
		m.beta = 0
		return m.engine.setHard()
	}
	m.beta = was.Beta
	return m.engine.setSoft(r.Env(), was.Beta)
}

// endRound reports what a round has left and hands its ticket out.
func (m *Method) endRound(r *trainer.Run, round int) error {
	t, err := m.ticket(r, round)
	if err != nil {
		return err
	}
	r.Note("thinned", fmt.Sprintf("round %d/%d: %.2f %% of %d weights kept", round+1, len(m.plan.Rounds), 100*t.Density(), t.Total()))
	if m.OnTicket == nil {
		return nil
	}
	return m.OnTicket(t)
}
