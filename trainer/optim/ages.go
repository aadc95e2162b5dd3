package optim

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// tables are the numbers of an entry's blocks that its op reads, [Blocks.N]
// each; an optimizer uses some of them.
type tables struct {
	rates, first, squares *kernels.Tensor
	corr1, corr2, next    *kernels.Tensor
	beta1, scale          *kernels.Tensor
	lower, upper          *kernels.Tensor
}

func newTables(name string, n int) tables {
	table := func(what string) *kernels.Tensor { return kernels.New(name+"."+what, kernels.F32, n) }
	return tables{table("rates"), table("first"), table("squares"), table("corr1"), table("corr2"), table("next"),
		table("beta1"), table("scale"), table("lower"), table("upper")}
}

func (t *tables) all() []*kernels.Tensor {
	return []*kernels.Tensor{t.rates, t.first, t.squares, t.corr1, t.corr2, t.next, t.beta1, t.scale, t.lower, t.upper}
}

// An aging is what an optimizer makes of the age of a block, the update being
// made counting as 1.
type aging func(age uint64) float64

// A column is a table that follows from ages.
type column struct {
	table *kernels.Tensor
	of    aging
}

// columns are the tables of e besides the rates.
func (s *State) columns(e *Entry) []column {
	c, t := s.Config, &e.tables
	one := func(uint64) float64 { return 1 }
	switch c.Kind {
	case SGD:
		return []column{{t.first, isFirst}}
	case CSGD: // its buffer starts at zero, not at the first gradient
		return nil
	case Adam, AdamW:
		return []column{{t.corr1, correction(c.Beta1)}, {t.corr2, correction(c.Beta2)}}
	case AdaBound, AdaBoundW:
		return s.boundColumns(t)
	}
	if c.Mode == Paper {
		return []column{{t.corr1, one}, {t.corr2, one}}
	}
	root := func(age uint64) float64 { return math.Sqrt(inverse(c.Beta2, age)) }
	return []column{{t.corr1, correction(c.Beta1)}, {t.next, root}, {t.corr2, func(age uint64) float64 {
		return root(max(age-1, 1)) // of V as it was; not used in the first update
	}}}
}

// boundColumns: the op multiplies by the rate of the step behind the bounds.
// The released form wants just that; in algorithm 1 bounds follow no rate.
func (s *State) boundColumns(t *tables) []column {
	c := s.Config
	unit := func() float64 {
		if c.algorithm1() && s.rate > 0 {
			return s.rate
		}
		return c.LR
	}
	lower := column{t.lower, func(age uint64) float64 { lo, _ := s.bounds(age); return lo / unit() }}
	upper := column{t.upper, func(age uint64) float64 { _, hi := s.bounds(age); return hi / unit() }}
	beta1 := column{t.beta1, func(age uint64) float64 {
		if c.Beta1OverT {
			return c.Beta1 / float64(age)
		}
		return c.Beta1
	}}
	scale := column{t.scale, func(age uint64) float64 {
		if c.algorithm1() {
			return 1
		}
		return inverse(c.Beta1, age) / math.Sqrt(inverse(c.Beta2, age))
	}}
	return []column{lower, upper, beta1, scale}
}

// rateOf multiplies the rate of a block; nil means 1.
func (c Config) rateOf() aging {
	switch {
	case c.Kind == CSGD && c.Momentum != 0:
		return correction(c.Momentum)
	case c.algorithm1():
		return func(age uint64) float64 { return 1 / math.Sqrt(float64(age)) }
	case c.is(DelayedAdam, AvaGrad, AvaGradW) && c.Mode != Paper:
		return func(age uint64) float64 { return 1 - isFirst(age) }
	}
	return nil
}

// Bounds are AdaBound's bounds of the rate at an age, when the base rate is
// LR: FinalLR·γt/(γt+1) and FinalLR·(1+1/(γt)).
func (c Config) Bounds(age uint64) (lower, upper float64) {
	x := c.Gamma * float64(age)
	return c.FinalLR * x / (x + 1), c.FinalLR * (1 + 1/x)
}

func isFirst(age uint64) float64 {
	if age == 1 {
		return 1
	}
	return 0
}

// correction is that of a mean with memory β for having started at zero.
func correction(beta float64) aging {
	return func(age uint64) float64 { return inverse(beta, age) }
}

// inverse is 1/(1-β^t).
func inverse(beta float64, t uint64) float64 { return 1 / (1 - math.Pow(beta, float64(t))) }

// age of block b in the update that follows `updates` others.
func (s *State) age(b int, updates uint64) uint64 { return updates - s.Births[b] + 1 }

// tabulate writes what e's op reads: factors and what follows from the ages.
func (s *State) tabulate(e *Entry, updates uint64) error {
	for b, f := range e.Factor {
		if r := e.Param.Rate; r != 0 {
			f *= r
		}
		if s.rateOf != nil {
			f = float32(float64(f) * s.rateOf(s.age(b, updates)))
		}
		e.buf[b] = f
	}
	if err := s.dev.WriteF32(e.rates, e.buf); err != nil {
		return err
	}
	for _, c := range e.columns {
		for b := range e.buf {
			e.buf[b] = float32(c.of(s.age(b, updates)))
		}
		if err := s.dev.WriteF32(c.table, e.buf); err != nil {
			return err
		}
	}
	return nil
}
