package optim

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// A normalizer is AvaGrad's γ of a group of parameters: one over the root mean
// square of all their rates 1/(√v̂+ε), over all blocks. The network's own
// parameters are one group, those that methods keep beside it another.
type normalizer struct {
	name    string
	gamma   *kernels.Tensor // [1]
	entries []*Entry
}

// Scalar is a number of an optimizer's state.
type Scalar struct {
	Name string
	T    *kernels.Tensor // [1]
}

// group puts the entries in the groups of the normalisers.
func (s *State) group() {
	for i, name := range []string{"gamma", "gamma.local"} {
		n := &normalizer{name: name, gamma: kernels.New(name, kernels.F32, 1)}
		for _, e := range s.Entries {
			if e.Param.Local == (i == 1) {
				n.entries = append(n.entries, e)
				e.gamma, e.rateSums = n.gamma, kernels.New(e.Param.Name+".rate.squares", kernels.F32, e.Blocks.N, 2)
				e.counts, e.pairs = blockCounts(e.Blocks), make([]float32, 2*e.Blocks.N)
			}
		}
		if len(n.entries) == 0 {
			continue
		}
		s.normalizers = append(s.normalizers, n)
		if s.Config.lags() {
			s.Scalars = append(s.Scalars, Scalar{name, n.gamma})
		}
	}
}

// normalize computes γ from the sums that the device has made. Blocks that do
// not move in this update have no rate; where nothing moves γ is 1. A γ for
// the next update counts them, as the authors' code does.
func (s *State) normalize(n *normalizer, updates uint64) error {
	var sum, count float64
	for _, e := range n.entries {
		if err := s.dev.ReadF32(e.rateSums, e.pairs); err != nil {
			return err
		}
		for b, c := range e.counts {
			if s.Config.Mode == Fresh && s.age(b, updates) == 1 {
				continue
			}
			sum += float64(e.pairs[2*b]) + float64(e.pairs[2*b+1])
			count += c
		}
	}
	gamma := float32(1)
	if count > 0 {
		gamma = float32(math.Sqrt(count / sum))
	}
	s.one[0] = gamma
	return s.dev.WriteF32(n.gamma, s.one[:])
}

// blockCounts counts the entries of every block. Those of blocks up to k are
// the product of rows and columns up to k.
func blockCounts(b kernels.Blocks) []float64 {
	rows, cols := histogram(b.RowBlock, b.Rows, b.N), histogram(b.ColBlock, b.Cols, b.N)
	counts := make([]float64, b.N)
	var r, c, before float64
	for k := range counts {
		r, c = r+rows[k], c+cols[k]
		counts[k] = r*c - before
		before = r * c
	}
	return counts
}

func histogram(blocks []int32, n, kinds int) []float64 {
	h := make([]float64, kinds)
	if blocks == nil {
		h[0] = float64(n)
	}
	for _, b := range blocks {
		h[b]++
	}
	return h
}
