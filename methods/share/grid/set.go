package grid

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/data"
)

// Set is a data.Source of N grids, for training as for evaluation. In training
// the rows come in their order, again and again: they are drawn at random.
type Set struct {
	Eval    bool    // rows beyond N do not count instead of beginning anew
	Size    int     // side of a grid, 32 in the paper
	Radius  int     // how far the second point lies at most, in each direction
	Density float64 // of obstacles, 0.1 in the paper
	N       int
	Key     philox.Key
}

// Key keys a set by a seed and a name: equal names give equal sets.
func Key(seed uint64, name string) philox.Key { return philox.NewKey(seed, "grid/"+name) }

// Validate says what is wrong with a set.
func (s Set) Validate() error {
	switch {
	case s.Size < 4 || s.Size > 1024:
		return fmt.Errorf("grid: side %d: want 4 to 1024", s.Size)
	case s.Radius < 1:
		return fmt.Errorf("grid: radius %d: want 1 or more", s.Radius)
	case !(s.Density >= 0 && s.Density <= 0.5):
		return fmt.Errorf("grid: density of obstacles %v: want 0 to 0.5", s.Density)
	case s.N < 1 || s.N > 1<<30:
		return fmt.Errorf("grid: %d rows: want 1 to 2^30", s.N)
	}
	return nil
}

// Row is an image of two channels with a target a cell: 1 on shortest paths.
func (s Set) Row() data.Row {
	return data.Row{Shape: []int{s.Size, s.Size, 2}, Targets: s.Size * s.Size, Classes: 2}
}

// Samples is N.
func (s Set) Samples() int { return s.N }

// Fill draws the requested rows.
func (s Set) Fill(b *data.Batch, r data.Request) error {
	if err := s.Validate(); err != nil {
		return err
	}
	n := uint64(s.N)
	b.Begin(r, int(r.Cursor/n))
	cells := s.Size * s.Size
	b.Valid = r.N * cells
	for i := range r.N {
		row := r.Cursor + uint64(i)
		if s.Eval && row >= n {
			b.Valid = i * cells
			clear(b.X[i*2*cells:])
			for k := range b.Y[i*cells:] {
				b.Y[i*cells+k] = data.Ignore
			}
			break
		}
		g, _, target := Sample(s.Key, uint32(row%n), s.Size, s.Radius, s.Density)
		x, y := b.X[i*2*cells:][:2*cells], b.Y[i*cells:][:cells]
		for c := range cells {
			x[2*c], x[2*c+1] = 0, bit(g.Obstacle[c])
			y[c] = int32(bit(target[c]))
		}
		x[2*g.A], x[2*g.B] = 1, 1
	}
	return nil
}

func bit(b bool) float32 {
	if b {
		return 1
	}
	return 0
}
