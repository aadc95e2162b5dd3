package grow

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Ratios are the rates of the sub-networks of a weight relative to that of
// stage 0: f_k / f_0, kept between 0.1 and 10. A sub-network
// without entries, and everything where the statistic of stage 0 is zero,
// has ratio 1. It writes to dst, which may be f.
func Ratios(f []float64, dst []float64) {
	base := f[0]
	for k := range f {
		r := f[k] / base
		switch {
		case !(r > 0) || math.IsInf(r, 0):
			r = 1
		default:
			r = min(max(r, 0.1), 10)
		}
		dst[k] = r
	}
}

// rates sets the factor of every block of every parameter.
func (m *Method) rates(r *trainer.Run) error {
	opt := r.Optim()
	for _, e := range opt.Entries {
		out := m.outFactor(e.Param)
		for k := range e.Factor {
			e.Factor[k] = float32(out * m.rewarm(k, r))
		}
	}
	kind := m.plan.Config.LRA
	if kind == LRAAuto {
		kind = LRANone
		if opt.Config.Kind == optim.SGD || opt.Config.Kind == optim.CSGD {
			kind = LRANorm
		}
	}
	if kind == LRANone || m.stage == 0 {
		return nil
	}
	return m.adapt(r, kind)
}

// adapt multiplies the factors of weights by the ratios of a statistic.
func (m *Method) adapt(r *trainer.Run, kind LRA) error {
	opt := r.Optim()
	s, err := m.statistics(r, kind)
	if err != nil {
		return err
	}
	return opt.Squares(r.Env(), func(i int, squares []float32) {
		e := opt.Entries[i]
		if !adapts(e.Param) {
			return
		}
		f := s.ratio[:len(squares)]
		for k, sq := range squares {
			f[k] = math.Sqrt(float64(sq))
			switch kind {
			case LRARMS:
				f[k] /= math.Sqrt(s.counts[i][k])
			case LRALARS:
				f[k] /= math.Sqrt(float64(s.gradients[i][k]))
			}
		}
		Ratios(f, f)
		for k := range f {
			e.Factor[k] *= float32(f[k])
		}
	})
}

// adapts reports whether the rates of a parameter's sub-networks differ: they
// do for weights that map units to units, not for biases, norms, and
// depthwise kernels.
func adapts(p *graph.Param) bool { return p.In >= 0 && p.Out >= 0 && !p.NoDecay }

// outFactor is C_ref/C₀ for output layers, 1 for others: the paper's output
// layer has rate 1/C₀, after the maximal update parametrisation.
func (m *Method) outFactor(p *graph.Param) float64 {
	ref := m.plan.Config.OutRef
	if ref == 0 || p.Init != graph.InitOut || p.In < 0 {
		return 1
	}
	a := p.Axes[p.In]
	if a.Dim == nil {
		return ref / float64(a.Size())
	}
	return ref / float64(a.Outer*a.Dim.Bounds[0]*a.Inner)
}

// rewarm is the factor of the entries that stage k added: it rises to
// Config.Rewarm in RewarmSteps steps and falls back along half a cosine until
// the end of the run (after arXiv 2602.02472, for new entries only).
func (m *Method) rewarm(k int, r *trainer.Run) float64 {
	c := &m.plan.Config
	if k == 0 || c.Rewarm == 1 || k >= len(r.Births) {
		return 1
	}
	return rewarm(c.Rewarm, r.Step-r.Births[k], uint64(c.RewarmSteps), r.Steps()-r.Births[k])
}

// rewarm is the factor at an age, of a block that lives for so many steps.
func rewarm(peak float64, age, rise, life uint64) float64 {
	switch {
	case age < rise:
		return 1 + (peak-1)*float64(age+1)/float64(rise)
	case age >= life:
		return 1
	}
	u := float64(age-rise) / float64(life-rise)
	return 1 + (peak-1)*(1+math.Cos(math.Pi*u))/2
}

// statistics are what ratios are made of besides the norms of weights. They
// belong to one optimizer state: the network between two events.
type statistics struct {
	opt       *optim.State
	ratio     []float64   // scratch, one a block
	counts    [][]float64 // [entry][block] of entries of the block
	gradients [][]float32 // [entry][block] Σ G², for LRALARS

	norms   kernels.Executable
	outs    []*kernels.Tensor
	results kernels.Buffer
}

// statistics are those of the run's current network.
func (m *Method) statistics(r *trainer.Run, kind LRA) (*statistics, error) {
	if m.stats == nil || m.stats.opt != r.Optim() {
		m.closeStatistics()
		s, err := newStatistics(r.Optim(), r.Device(), kind)
		if err != nil {
			return nil, err
		}
		m.stats = s
	}
	if kind == LRALARS {
		return m.stats, m.stats.readGradients(r.Env(), r.Device())
	}
	return m.stats, nil
}

func (m *Method) closeStatistics() {
	if m.stats != nil && m.stats.norms != nil {
		m.stats.norms.Close()
		m.stats.results.Close()
	}
	m.stats = nil
}

func newStatistics(opt *optim.State, dev kernels.Device, kind LRA) (*statistics, error) {
	s := &statistics{opt: opt, ratio: make([]float64, len(opt.Births))}
	if kind == LRARMS {
		for _, e := range opt.Entries {
			s.counts = append(s.counts, blockCounts(e.Blocks))
		}
	}
	if kind != LRALARS {
		return s, nil
	}
	var ops []kernels.Op
	off := 0
	for _, e := range opt.Entries {
		out := kernels.New(e.Param.Name+".gradient.squares", kernels.F32, e.Blocks.N)
		out.Off = off
		off += (out.Bytes() + 63) &^ 63
		s.outs = append(s.outs, out)
		s.gradients = append(s.gradients, make([]float32, e.Blocks.N))
		ops = append(ops, &kernels.BlockSquares{W: e.Param.G, Blocks: e.Blocks, Out: out})
	}
	var err error
	if s.results, err = dev.Alloc(off); err != nil {
		return nil, err
	}
	for _, out := range s.outs {
		out.Buf = s.results
	}
	if s.norms, err = dev.Compile(ops); err != nil {
		s.results.Close()
		return nil, err
	}
	return s, nil
}

// readGradients computes Σ G² of every block.
func (s *statistics) readGradients(env *kernels.Env, dev kernels.Device) error {
	if err := s.norms.Run(env, nil); err != nil {
		return err
	}
	for i, out := range s.outs {
		if err := dev.ReadF32(out, s.gradients[i]); err != nil {
			return err
		}
	}
	return nil
}

// blockCounts counts the entries of every block.
func blockCounts(b kernels.Blocks) []float64 {
	n := make([]float64, b.N)
	rows, cols := histogram(b.RowBlock, b.Rows, b.N), histogram(b.ColBlock, b.Cols, b.N)
	var r, c, before float64 // entries up to block k form the rectangle r·c
	for k := range n {
		r += rows[k]
		c += cols[k]
		n[k] = r*c - before
		before = r * c
	}
	return n
}

func histogram(blocks []int32, n, stages int) []float64 {
	h := make([]float64, stages)
	if blocks == nil {
		h[0] = float64(n)
	}
	for _, b := range blocks {
		h[b]++
	}
	return h
}
