package optim

import (
	"fmt"
	"math"

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

	rates, first, corr1, corr2, squares *kernels.Tensor // [Blocks.N]
	buf                                 []float32       // host side of the tables, [Blocks.N]
}

// State updates the parameters of one graph. It is used by one goroutine.
type State struct {
	Config  Config
	Entries []*Entry
	// Births is the number of updates done when each growth stage began;
	// Births[0] is 0. A block's age is the number of updates since.
	Births []uint64

	dev           kernels.Device
	slots, tables kernels.Buffer
	update, norms kernels.Executable
}

// New makes the slots, all zero, and compiles the update of all parameters of
// g, which must have been placed. extra ops, such as those of running
// statistics, are run with the update. births has one entry a growth stage.
func New(dev kernels.Device, c Config, g *graph.Graph, births []uint64, extra []kernels.Op) (*State, error) {
	s := &State{Config: c, Births: births, dev: dev}
	for _, p := range g.Params() {
		e := &Entry{Param: p, Blocks: p.Blocks()}
		if e.Blocks.N > len(births) {
			return nil, fmt.Errorf("optimizer: %v has %d growth stages, %d births are known", p, e.Blocks.N, len(births))
		}
		for range c.Slots() {
			e.Slots = append(e.Slots, kernels.New(p.Name+".slot", kernels.F32, p.W.Shape...))
		}
		table := func(name string) *kernels.Tensor {
			return kernels.New(p.Name+name, kernels.F32, e.Blocks.N)
		}
		e.rates, e.squares = table(".rates"), table(".squares")
		e.first, e.corr1, e.corr2 = table(".first"), table(".corr1"), table(".corr2")
		e.Factor, e.buf = make([]float32, e.Blocks.N), make([]float32, e.Blocks.N)
		for i := range e.Factor {
			e.Factor[i] = 1
		}
		s.Entries = append(s.Entries, e)
	}
	if err := s.compile(dev, extra); err != nil {
		s.Close()
		return nil, fmt.Errorf("optimizer %s: %w", c.Kind, err)
	}
	return s, nil
}

func (s *State) compile(dev kernels.Device, extra []kernels.Op) (err error) {
	var slots, tables []*kernels.Tensor
	var update, norms []kernels.Op
	for _, e := range s.Entries {
		slots = append(slots, e.Slots...)
		tables = append(tables, e.rates, e.squares, e.first, e.corr1, e.corr2)
		update = append(update, s.op(e))
		norms = append(norms, &kernels.BlockSquares{W: e.Param.W, Blocks: e.Blocks, Out: e.squares})
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

func (s *State) op(e *Entry) kernels.Op {
	c, p := s.Config, e.Param
	decay := float32(c.WeightDecay)
	if p.Undecayed || c.SpareNorms && p.NoDecay {
		decay = 0
	}
	if c.Kind == SGD {
		op := &kernels.SGD{W: p.W, G: p.G, Momentum: float32(c.Momentum), Dampening: float32(c.Dampening),
			Decay: decay, Nesterov: c.Nesterov, Blocks: e.Blocks, Rates: e.rates, FirstBlock: e.first}
		if c.Momentum != 0 {
			op.M = e.Slots[0]
		}
		return op
	}
	return &kernels.Adam{W: p.W, G: p.G, M: e.Slots[0], V: e.Slots[1],
		Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps),
		Decay: decay, Decoupled: c.Kind == AdamW, Blocks: e.Blocks, Rates: e.rates, Corr1: e.corr1, Corr2: e.corr2}
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
	for _, e := range s.Entries {
		if err := s.tabulate(e, updates); err != nil {
			return err
		}
	}
	return s.update.Run(env, nil)
}

// tabulate writes what e's op reads: factors and what follows from the ages.
func (s *State) tabulate(e *Entry, updates uint64) error {
	for b, f := range e.Factor {
		e.buf[b] = f
		if r := e.Param.Rate; r != 0 {
			e.buf[b] *= r
		}
	}
	if err := s.dev.WriteF32(e.rates, e.buf); err != nil {
		return err
	}
	fill := func(t *kernels.Tensor, f func(age uint64) float32) error {
		for b := range e.buf {
			e.buf[b] = f(updates - s.Births[b] + 1) // the update being made counts
		}
		return s.dev.WriteF32(t, e.buf)
	}
	if s.Config.Kind == SGD {
		return fill(e.first, isFirst)
	}
	if err := fill(e.corr1, func(age uint64) float32 { return correction(s.Config.Beta1, age) }); err != nil {
		return err
	}
	return fill(e.corr2, func(age uint64) float32 { return correction(s.Config.Beta2, age) })
}

func isFirst(age uint64) float32 {
	if age == 1 {
		return 1
	}
	return 0
}

// correction is 1/(1-β^t).
func correction(beta float64, t uint64) float32 {
	return float32(1 / (1 - math.Pow(beta, float64(t))))
}

// Close frees slots and tables.
func (s *State) Close() error {
	for _, x := range []kernels.Executable{s.update, s.norms} {
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
