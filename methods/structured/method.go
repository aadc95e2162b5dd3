package structured

import (
	"errors"
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Method restructures the network of one run. It is used by one goroutine.
type Method struct {
	plan    *Plan
	masking *masking
	engine  *engine
	began   bool

	// Of every component: mask variable, momentum, how often it was sampled
	// since the start, and the stage in which it came (for the optimizer's
	// ages).
	s, momentum, counts, born []float32
	active                    []bool // in the network
	sampled                   []bool // without what is there only because an axis cannot be empty
	lambda                    float64
	archive                   *archive

	// What follows from these: the present units of each Dim in the order
	// of the network, and masks as the network has them.
	units positions
	mu    []float32
	d     []float64 // scratch: gradients by masks
	p     []float64 // scratch: probabilities
}

var (
	_ trainer.Weigher = (*Method)(nil)
	_ trainer.Keeper  = (*Method)(nil)
	_ trainer.Planner = (*Method)(nil)
)

// New returns the method that follows a plan. The run must start with the
// plan's Initial sizes.
func New(p *Plan) *Method {
	n := p.Space.Components()
	m := &Method{plan: p, masking: newMasking(p.Space), archive: newArchive(p.Space)}
	for _, v := range []*[]float32{&m.s, &m.momentum, &m.counts, &m.born, &m.mu} {
		*v = make([]float32, n)
	}
	m.d, m.p = make([]float64, n), make([]float64, n)
	seed := p.Seed()
	for i, on := range seed {
		m.s[i] = float32(p.Config.Off)
		if on {
			m.s[i] = float32(p.Config.On)
		}
	}
	m.active = p.Space.Settle(seed, m.s, 1)
	m.sampled = p.Space.sampledOf(m.active)
	copy(m.archive.seen, m.active)
	m.arrange()
	return m
}

// sampledOf leaves out the units of blocks that are off.
func (s *Space) sampledOf(active []bool) []bool {
	q := append([]bool(nil), active...)
	for _, g := range s.Groups {
		if g.Block >= 0 && !active[s.units+g.Block] {
			clear(q[g.First : g.First+g.Full])
		}
	}
	return q
}

// Name is the method's name in job files and checkpoints.
func (m *Method) Name() string { return "structured" }

// Weight puts masks on norms and on rows of weights.
func (m *Method) Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	return m.masking.weight(g, p, v)
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
	}
	return nil
}

// Changes reports whether the plan has something before a step.
func (m *Method) Changes(step uint64) bool {
	return step == m.plan.First || step == m.plan.Final || m.plan.Query(step) > 0
}

// boundary does what the plan has before a step.
func (m *Method) boundary(r *trainer.Run) error {
	if !m.began {
		if err := m.begin(r); err != nil {
			return err
		}
		m.began = true
	}
	p := m.plan
	if !m.Changes(r.Step) {
		return nil
	}
	if err := m.checkSizes(r); err != nil {
		return err
	}
	switch r.Step {
	case p.First:
		return m.first(r)
	case p.Final:
		return m.final(r)
	}
	return m.query(r, p.Query(r.Step))
}

// first brings masks to life.
func (m *Method) first(r *trainer.Run) error {
	for g, group := range m.plan.Space.Groups {
		d := dimOf(r.Graph(), group.Dim)
		for u, unit := range m.units[group.Dim] {
			m.born[m.plan.Space.Groups[g].First+unit] = float32(d.Block(u))
		}
	}
	m.masks(r.Step)
	m.paperPrice()
	return m.setMasks(r)
}

func dimOf(g *graph.Graph, name string) *graph.Dim {
	for _, d := range g.Dims() {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// query draws which components are there in the next period.
func (m *Method) query(r *trainer.Run, k int) error {
	c, s := &m.plan.Config, m.plan.Space
	draw, tile := k, 1
	if c.Draws == DrawsKept {
		draw = 0
	}
	if m.plan.Progress(r.Step) >= c.Ramp {
		tile = c.Tile
	}
	q := make([]bool, len(m.s))
	m.probabilities(r.Step)
	for i, p := range m.p {
		q[i] = Sampled(p, r.Seed(), draw, i)
	}
	active := s.Settle(q, m.s, tile)
	m.sampled = s.sampledOf(active)
	for i := range m.counts {
		if m.sampled[i] || c.Global {
			m.counts[i]++
		}
	}
	err := m.change(r, active, false, fmt.Sprintf("query %d/%d", k, len(m.plan.Queries)))
	m.paperPrice()
	return err
}

// final decides what stays for good.
func (m *Method) final(r *trainer.Run) error {
	s := m.plan.Space
	logits := make([]float32, len(m.s))
	for i, v := range m.s {
		logits[i] = float32(m.beta(i, r.Step) * float64(v))
	}
	active := s.Settle(s.Decide(logits, m.plan.Config.Budget*s.FullCost(), m.plan.Config.Tile), m.s, 1)
	m.sampled = s.sampledOf(active)
	clear(m.momentum)
	return m.change(r, active, true, "final")
}

// beta is the temperature of a component at a step.
func (m *Method) beta(i int, step uint64) float64 {
	c := &m.plan.Config
	return max(Temperature(int(m.counts[i]), len(m.plan.Queries), c.Temperature),
		Hardened(m.plan.Progress(step), c.Harden, c.Final, c.Temperature))
}

func (m *Method) probabilities(step uint64) {
	for i, s := range m.s {
		m.p[i] = Sigmoid(m.beta(i, step) * float64(s))
	}
}

// masks computes μ of every component at a step: σ(βs) of what is there until
// the structure is final, then 1.
func (m *Method) masks(step uint64) {
	for i, a := range m.active {
		switch {
		case !a:
			m.mu[i] = 0
		case step >= m.plan.Final:
			m.mu[i] = 1
		default:
			m.mu[i] = float32(Sigmoid(m.beta(i, step) * float64(m.s[i])))
		}
	}
}

// maskOf is the mask of unit u of the present ones of group g, or of block u
// when g is -1.
func (m *Method) maskOf(g, u int) float32 {
	s := m.plan.Space
	if g < 0 {
		return m.mu[s.Units()+u]
	}
	return m.mu[s.Groups[g].First+m.units[s.Groups[g].Dim][u]]
}

func (m *Method) setMasks(r *trainer.Run) error {
	if err := m.compile(r); err != nil {
		return err
	}
	return m.engine.set(r.Env(), m.maskOf)
}

// compile prepares the device for the network as it is now.
func (m *Method) compile(r *trainer.Run) (err error) {
	if m.engine != nil && m.engine.graph == r.Graph() {
		return nil
	}
	m.closeEngine()
	m.engine, err = newEngine(m.plan.Space, r.Graph(), r.Device())
	return err
}

func (m *Method) closeEngine() {
	if m.engine != nil {
		m.engine.close()
	}
	m.engine = nil
}

// searching reports whether masks are being trained at a step.
func (p *Plan) searching(step uint64) bool { return step >= p.First && step < p.Final }

// reduced updates the mask variables by the reduced gradients.
func (m *Method) reduced(r *trainer.Run) error {
	if !m.plan.searching(r.Step) {
		return nil
	}
	c, s := &m.plan.Config, m.plan.Space
	if c.Controller == ControllerRef && (r.Step-m.plan.First)%uint64(c.Every) == 0 {
		m.reprice(r.Step)
	}
	if err := m.compile(r); err != nil {
		return err
	}
	clear(m.d)
	if err := m.engine.slopes(r.Env(), func(g, u int, d float64) {
		i := s.units + u
		if g >= 0 {
			i = s.Groups[g].First + m.units[s.Groups[g].Dim][u]
		}
		m.d[i] += d
	}); err != nil {
		return err
	}
	for i := range m.s {
		if m.mu[i] > 0 {
			m.d[i] /= float64(m.mu[i])
		}
		g := Gradient(float64(m.s[i]), m.beta(i, r.Step), m.sampled[i], m.d[i], m.lambda)
		Descend(&m.s[i], &m.momentum[i], g, c.Rate, c.Momentum, c.Decay)
	}
	return nil
}

// reprice sets λ by the expected cost.
func (m *Method) reprice(step uint64) {
	c, s := &m.plan.Config, m.plan.Space
	m.probabilities(step)
	want := Reference(m.plan.Progress(step), m.plan.SeedSparsity(), 1-c.Budget, c.Ramp)
	m.lambda = Price(c.Gain, want, 1-s.Expected(m.p)/s.FullCost())
}

// paperPrice sets λ by the cost of what is there, once a query.
func (m *Method) paperPrice() {
	c, s := &m.plan.Config, m.plan.Space
	if c.Controller != ControllerPaper {
		return
	}
	m.lambda = PaperPrice(c.Gain, 1-c.Budget, 1-s.Cost(s.Counts(m.active))/s.FullCost())
}

// stepped brings masks up to date, so that what is measured and saved is the
// network after the step; after the last one it is an ordinary network.
func (m *Method) stepped(r *trainer.Run) error {
	switch {
	case r.Step == m.plan.Steps:
		s := m.plan.Space
		r.Measure("cost kept", s.Cost(s.Counts(m.active))/s.FullCost())
		return m.ordinary(r)
	case r.Step > m.plan.First && r.Step < m.plan.Final:
		m.masks(r.Step)
		return m.setMasks(r)
	}
	return nil
}

// ordinary multiplies the last masks, those of blocks that are off, into their
// norms: they are 0 from here on without any help.
func (m *Method) ordinary(r *trainer.Run) error {
	if err := m.compile(r); err != nil {
		return err
	}
	s, dev := m.plan.Space, r.Device()
	for b := range s.Blocks {
		if m.active[s.units+b] {
			continue
		}
		pair, state := m.engine.norms[len(s.Groups)+b][0], m.engine.states[len(s.Groups)+b]
		zero := make([]float32, pair.gamma.W.Len())
		if err := errors.Join(dev.WriteF32(pair.gamma.W, zero), dev.WriteF32(pair.beta.W, zero)); err != nil {
			return err
		}
		for i := range zero {
			zero[i] = 1
		}
		if err := dev.WriteF32(state.W, zero); err != nil {
			return err
		}
	}
	return nil
}
