package optim

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Entry is one parameter with its optimizer state on a device.
type Entry struct {
	Param  *graph.Param
	Blocks kernels.Blocks
	Slots  []*kernels.Tensor // as Config.Slots names them, shaped like the parameter

	// Factor is the rate factor of every block; 1 unless a method says
	// otherwise. It is read at the next Step.
	Factor []float32

	tables
	columns []column  // of tables, what ages decide
	buf     []float32 // host side of a table, [Blocks.N]

	// With a normaliser: the sums of squared rates of the blocks, [N, 2],
	// their host side, and the sizes of the blocks.
	gamma, rateSums *kernels.Tensor
	pairs           []float32
	counts          []float64
}

// State updates the parameters of one graph. It is used by one goroutine.
type State struct {
	Config  Config
	Entries []*Entry
	// Births is the number of updates done when each growth stage began;
	// Births[0] is 0. A block's age is the number of updates since.
	Births []uint64
	// Scalars is the state besides the entries' slots: AvaGrad's normaliser
	// in mode official, which was made in the step before.
	Scalars []Scalar

	rateOf      aging
	rate        float64                                 // of the step being made, before factors
	bounds      func(age uint64) (lower, upper float64) // AdaBound's, at the base rate
	normalizers []*normalizer
	one         [1]float32

	dev                   kernels.Device
	slots, tables         kernels.Buffer
	update, norms, before kernels.Executable // before: what an update needs first, or nil
}

// New makes the slots, all zero, and compiles the update of all parameters of
// g, which must have been placed. extra ops, such as those of running
// statistics, are run with the update. births has one entry a growth stage.
func New(dev kernels.Device, c Config, g *graph.Graph, births []uint64, extra []kernels.Op) (*State, error) {
	s := &State{Config: c, Births: births, dev: dev, rateOf: c.rateOf(), bounds: c.Bounds}
	for _, p := range g.Params() {
		e := &Entry{Param: p, Blocks: p.Blocks()}
		if e.Blocks.N > len(births) {
			return nil, fmt.Errorf("optimizer: %v has %d growth stages, %d births are known", p, e.Blocks.N, len(births))
		}
		for range c.Slots() {
			e.Slots = append(e.Slots, kernels.New(p.Name+".slot", kernels.F32, p.W.Shape...))
		}
		e.tables = newTables(p.Name, e.Blocks.N)
		e.columns = s.columns(e)
		e.Factor, e.buf = make([]float32, e.Blocks.N), make([]float32, e.Blocks.N)
		for i := range e.Factor {
			e.Factor[i] = 1
		}
		s.Entries = append(s.Entries, e)
	}
	if c.normalizes() {
		s.group()
	}
	if err := s.compile(dev, extra); err != nil {
		s.Close()
		return nil, fmt.Errorf("optimizer %s: %w", c.Kind, err)
	}
	return s, nil
}

func (s *State) compile(dev kernels.Device, extra []kernels.Op) (err error) {
	var slots, tables []*kernels.Tensor
	var update, norms, rates []kernels.Op
	for _, e := range s.Entries {
		slots = append(slots, e.Slots...)
		tables = append(tables, e.tables.all()...)
		update = append(update, s.op(e))
		norms = append(norms, &kernels.BlockSquares{W: e.Param.W, Blocks: e.Blocks, Out: e.squares})
		if s.Config.normalizes() {
			tables = append(tables, e.rateSums)
			rates = append(rates, &kernels.RateSquares{V: e.Slots[1], Corr: e.corr2, Eps: float32(s.Config.Eps), Blocks: e.Blocks, Out: e.rateSums})
		}
	}
	for _, n := range s.normalizers {
		tables = append(tables, n.gamma)
	}
	if s.slots, err = place(dev, slots); err != nil {
		return err
	}
	if s.tables, err = place(dev, tables); err != nil {
		return err
	}
	if s.norms, err = dev.Compile(norms); err != nil {
		return err
	}
	if s.Config.normalizes() && !s.Config.lags() {
		if s.before, err = dev.Compile(rates); err != nil {
			return err
		}
	}
	s.update, err = dev.Compile(append(update, extra...))
	return err
}

// place gives tensors one buffer, each at a cache line of its own.
func place(dev kernels.Device, ts []*kernels.Tensor) (kernels.Buffer, error) {
	off := 0
	for _, t := range ts {
		t.Off = off
		off += (t.Bytes() + 63) &^ 63
	}
	buf, err := dev.Alloc(off)
	if err != nil {
		return nil, err
	}
	for _, t := range ts {
		t.Buf = buf
	}
	return buf, nil
}

// op describes the update of one parameter.
func (s *State) op(e *Entry) kernels.Op {
	c, p := s.Config, e.Param
	decay := float32(c.WeightDecay)
	if p.Undecayed || c.SpareNorms && p.NoDecay {
		decay = 0
	}
	beta1, beta2, eps := float32(c.Beta1), float32(c.Beta2), float32(c.Eps)
	switch c.Kind {
	case SGD, CSGD:
		op := &kernels.SGD{W: p.W, G: p.G, Momentum: float32(c.Momentum), Dampening: float32(c.Dampening),
			Decay: decay, Nesterov: c.Nesterov, Blocks: e.Blocks, Rates: e.rates, FirstBlock: e.first}
		if c.Kind == CSGD {
			op.Dampening = op.Momentum
		}
		if c.Momentum != 0 {
			op.M = e.Slots[0]
		}
		return op
	case Adam, AdamW:
		return &kernels.Adam{W: p.W, G: p.G, M: e.Slots[0], V: e.Slots[1], Beta1: beta1, Beta2: beta2, Eps: eps,
			Decay: decay, Decoupled: c.Kind == AdamW, Blocks: e.Blocks, Rates: e.rates, Corr1: e.corr1, Corr2: e.corr2}
	case AdaBound, AdaBoundW:
		op := &kernels.AdaBound{W: p.W, G: p.G, M: e.Slots[0], V: e.Slots[1], Beta2: beta2, Eps: eps,
			Decay: decay, Decoupled: c.Kind == AdaBoundW, Box: [2]float32{float32(c.Box[0]), float32(c.Box[1])},
			Blocks: e.Blocks, Rates: e.rates, Beta1: e.beta1, Scale: e.scale, Lower: e.lower, Upper: e.upper}
		if c.AMS {
			op.Max = e.Slots[2]
		}
		if c.algorithm1() {
			op.Eps = 0
		}
		return op
	}
	op := &kernels.AvaGrad{W: p.W, G: p.G, M: e.Slots[0], V: e.Slots[1], Beta1: beta1, Beta2: beta2, Eps: eps,
		Decay: decay, Decoupled: c.Kind == AvaGradW, Blocks: e.Blocks, Rates: e.rates, Corr1: e.corr1, Corr2: e.corr2, Gamma: e.gamma}
	if c.lags() {
		op.Next, op.Squares = e.next, e.rateSums
	}
	return op
}

// Squares computes Σ W² of every block of every parameter and hands entry i's
// to each, which must not keep the slice.
func (s *State) Squares(env *kernels.Env, each func(i int, squares []float32)) error {
	if err := s.norms.Run(env, nil); err != nil {
		return err
	}
	for i, e := range s.Entries {
		if err := s.dev.ReadF32(e.squares, e.buf); err != nil {
			return err
		}
		each(i, e.buf)
	}
	return nil
}

// Step applies the reduced gradients. updates is the number of updates done
// before, so 0 at the first; env gives rate and gradient factor.
func (s *State) Step(env *kernels.Env, updates uint64) error {
	s.rate = float64(env.Rate)
	for _, e := range s.Entries {
		if err := s.tabulate(e, updates); err != nil {
			return err
		}
	}
	if s.before != nil {
		if err := s.before.Run(env, nil); err != nil {
			return err
		}
		if err := s.normalizeAll(updates); err != nil {
			return err
		}
	}
	if err := s.update.Run(env, nil); err != nil {
		return err
	}
	if s.before == nil {
		return s.normalizeAll(updates)
	}
	return nil
}

func (s *State) normalizeAll(updates uint64) error {
	for _, n := range s.normalizers {
		if err := s.normalize(n, updates); err != nil {
			return err
		}
	}
	return nil
}

// Close frees slots and tables.
func (s *State) Close() error {
	for _, x := range []kernels.Executable{s.update, s.norms, s.before} {
		if x != nil {
			x.Close()
		}
	}
	for _, b := range []kernels.Buffer{s.slots, s.tables} {
		if b != nil {
			b.Close()
		}
	}
	return nil
}
