package grow

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// event makes the values of a grown network: of every parameter and running
// statistic at its new size from those at its old one.
//
// Legend: C, C' the units of a Dim before and after; in and out the axes of a
// weight that consume and produce units. Entries of new out units are V, of
// new in units of old out units Z:
//
//	W' = [ r·W , Z ⊗ (1,-1) ; V ⊗ (1;1) ]      out down, in across
type event struct {
	cfg   *Config
	seed  uint64
	stage int // the one that begins
	// reset names the weights behind which batch norm takes the scale away.
	reset map[string]bool
	// factors are the r of weights that were filled: what is behind them
	// follows.
	factors map[string]float64
}

// newEvent prepares the growth of g to stage.
func newEvent(c *Config, seed uint64, stage int, g *graph.Graph) *event {
	return &event{cfg: c, seed: seed, stage: stage, reset: resets(g), factors: map[string]float64{}}
}

// resets names the weights whose scale reaches no further than a batch norm.
func resets(g *graph.Graph) map[string]bool {
	m := map[string]bool{}
	for _, s := range g.States() {
		for _, w := range s.Scaled {
			m[w.Name] = true
		}
	}
	return m
}

// Fill is the trainer.Filler of the event. It must be called for weights
// before what is behind them, in the order in which the model names them.
func (e *event) Fill(old, now *graph.Param, from, to []float32) {
	if e.cfg.Init == InitNet2Net {
		e.copyUnits(old, now, from, to)
		return
	}
	r := e.scale(now, from)
	graph.Embed(old, now, func(i, j int) { to[j] = float32(r * float64(from[i])) })
	e.fillNew(old, now, to)
}

// scale is the factor of now's old entries. Weights get r, biases and running
// means ρ and running variances ρ², ρ the product of the r of all weights
// since the last norm: what is in front of a bias has been scaled by it.
func (e *event) scale(now *graph.Param, from []float32) float64 {
	if now.In >= 0 {
		r := e.factor(now, from)
		e.factors[now.Name] = r
		return r
	}
	rho := 1.0
	for _, w := range now.Scaled {
		r, ok := e.factors[w.Name]
		if !ok {
			panic(fmt.Sprintf("grow: %s is filled before %s", now.Name, w.Name))
		}
		rho *= r
	}
	if now.Variance {
		return rho * rho
	}
	return rho
}

// factor is the r of a weight under the mode of variance transfer.
func (e *event) factor(now *graph.Param, from []float32) float64 {
	switch e.cfg.VT {
	case VTNone:
		return 1
	case VTExact, VTRamp:
		if !e.reset[now.Name] {
			return 1
		}
	case VTConstraint:
		if r := tableFactor(now, e.stage); r != 1 {
			return measuredFactor(now, from, r)
		}
	}
	return tableFactor(now, e.stage)
}

// tableFactor is the r of a weight at the event that began a stage: √(C/C'),
// and C/C' where the initial variance is 1/C², the output role (table 1 of
// the paper). It is 1 where the input did not grow, and for the last weights
// of residual branches, which would be scaled against the skip path.
func tableFactor(w *graph.Param, stage int) float64 {
	if w.In < 0 || w.Branch {
		return 1
	}
	d := w.Axes[w.In].Dim
	if d == nil || stage >= len(d.Bounds) {
		return 1
	}
	ratio := float64(d.Bounds[stage-1]) / float64(d.Bounds[stage])
	if w.Init == graph.InitOut {
		return ratio
	}
	return math.Sqrt(ratio)
}

// measuredFactor makes the variance of old entries that of new ones; it is
// otherwise where they have none (the paper's appendix).
func measuredFactor(now *graph.Param, from []float32, otherwise float64) float64 {
	var sum, squares float64
	for _, v := range from {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(from))
	variance := squares/n - (sum/n)*(sum/n)
	r := now.Std() / math.Sqrt(variance)
	if !(variance > 0) || math.IsInf(r, 0) || math.IsNaN(r) {
		return otherwise
	}
	return r
}

// fillNew sets all entries that old does not have.
func (e *event) fillNew(old, now *graph.Param, to []float32) {
	if v, ok := constant(now); ok {
		walk(old, now, func(at *place) {
			if at.newIn || at.newOut {
				to[at.index] = v
			}
		})
		return
	}
	std := now.Std()
	v, z := e.draws(now.Name, "V"), e.draws(now.Name, "Z")
	paired := e.cfg.Init == InitPairs
	walk(old, now, func(at *place) {
		switch {
		case at.newOut && paired:
			to[at.index] = v.normal(std, at.in.own, at.out.pair, at.rest)
		case at.newIn && paired && at.in.sign == 0:
			to[at.index] = 0
		case at.newIn && paired:
			to[at.index] = at.in.sign * z.normal(std, at.in.pair, at.out.own, at.rest)
		case at.newOut:
			to[at.index] = v.normal(std, at.in.own, at.out.own, at.rest)
		case at.newIn:
			to[at.index] = z.normal(std, at.in.own, at.out.own, at.rest)
		}
	})
}

// constant is the first value of a parameter that begins with one value.
func constant(p *graph.Param) (v float32, ok bool) {
	switch p.Init {
	case graph.InitZero:
		return 0, true
	case graph.InitOne:
		return 1, true
	case graph.InitConst:
		return p.Gain, true
	}
	return 0, false
}

// draws is the stream of numbers of one parameter, stage and kind of block.
func (e *event) draws(param, block string) *draws {
	return &draws{key: philox.NewKey(e.seed, "grow/"+block+"/"+param).With(uint64(e.stage))}
}

// draws gives normal numbers by place: logical row and column, and the index
// on all other axes. It remembers the last four.
type draws struct {
	key  philox.Key
	at   philox.Counter
	four [4]float32
	have bool
}

func (d *draws) normal(std float64, row, col, rest int) float32 {
	c := philox.Counter{uint32(row), uint32(col / 4), uint32(rest)}
	if !d.have || c != d.at {
		d.at, d.four, d.have = c, philox.Normals(d.key.At(c)), true
	}
	return float32(std) * d.four[col%4]
}
