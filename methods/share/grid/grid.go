// Package grid is the task of shortest paths on grids with obstacles (Savarese
// and Maire, arXiv 1902.09701): given two points, mark every
// cell that lies on some shortest path between them. Networks that are loops
// solve it with fewer parameters and extend to longer paths.
//
//	set := grid.Set{Size: 32, Radius: 4, Density: 0.1, N: 5000, Key: grid.Key(seed, "train")}
//	cfg.Train = set
//
// A set is a data.Source: rows are images [size, size, 2] with the two points
// in channel 0 and the obstacles in channel 1, and one target a cell. Row i is
// a pure function of the key and i; nothing is stored.
package grid

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Grid is one instance. Cells are numbered row by row.
type Grid struct {
	Size     int
	A, B     int    // the two points
	Obstacle []bool // of each cell
}

// unreached marks cells that no path leads to.
const unreached = int32(-1)

// Solve returns the length of the shortest path between the points, and the
// cells on shortest paths, both points included: those with dA + dB = length.
// ok is false if there is no path; a grid that is not well formed is an error.
func (g *Grid) Solve() (length int, target []bool, ok bool, err error) {
	n := g.Size * g.Size
	switch {
	case g.Size < 2 || len(g.Obstacle) != n:
		return 0, nil, false, fmt.Errorf("grid: %d cells of obstacles for a grid of side %d, want %d", len(g.Obstacle), g.Size, n)
	case g.A < 0 || g.A >= n || g.B < 0 || g.B >= n:
		return 0, nil, false, fmt.Errorf("grid: points %d and %d in a grid of %d cells", g.A, g.B, n)
	}
	from, to := g.distances(g.A), g.distances(g.B)
	if from[g.B] == unreached {
		return 0, nil, false, nil
	}
	target = make([]bool, n)
	for c := range target {
		target[c] = from[c] != unreached && to[c] != unreached && from[c]+to[c] == from[g.B]
	}
	return int(from[g.B]), target, true, nil
}

// distances are those of all free cells from one, in steps to 4 neighbours.
// The points are free.
func (g *Grid) distances(start int) []int32 {
	d := make([]int32, len(g.Obstacle))
	for i := range d {
		d[i] = unreached
	}
	d[start] = 0
	queue := []int{start}
	for len(queue) > 0 {
		c := queue[0]
		queue = queue[1:]
		x := c % g.Size
		for _, next := range [4]struct {
			cell int
			ok   bool
		}{{c - g.Size, c >= g.Size}, {c + g.Size, c+g.Size < len(d)}, {c - 1, x > 0}, {c + 1, x+1 < g.Size}} {
			if next.ok && d[next.cell] == unreached && (!g.Obstacle[next.cell] || next.cell == g.A || next.cell == g.B) {
				d[next.cell] = d[c] + 1
				queue = append(queue, next.cell)
			}
		}
	}
	return d
}

// draws are the uniform numbers of one row.
type draws struct {
	key  philox.Key
	row  uint32
	next uint32
	have [4]uint32
}

func (d *draws) uint32() uint32 {
	if d.next%4 == 0 {
		d.have = d.key.At(philox.Counter{d.row, d.next / 4})
	}
	v := d.have[d.next%4]
	d.next++
	return v
}

func (d *draws) below(n int) int { return philox.Below(d.uint32(), n) }

// Sample draws row i of a set: obstacles with the given density, a first point
// anywhere, a second one within radius of it; grids without a path are drawn
// again.
func Sample(key philox.Key, row uint32, size, radius int, density float64) (g Grid, length int, target []bool) {
	d := &draws{key: key, row: row}
	g = Grid{Size: size, Obstacle: make([]bool, size*size)}
	limit := uint32(density * (1 << 32))
	for {
		for c := range g.Obstacle {
			g.Obstacle[c] = d.uint32() < limit
		}
		g.A = d.below(len(g.Obstacle))
		y, x := g.A/size, g.A%size
		y0, y1 := max(0, y-radius), min(size-1, y+radius)
		x0, x1 := max(0, x-radius), min(size-1, x+radius)
		for g.B = g.A; g.B == g.A; {
			g.B = (y0+d.below(y1-y0+1))*size + x0 + d.below(x1-x0+1)
		}
		g.Obstacle[g.A], g.Obstacle[g.B] = false, false
		if length, target, ok, err := g.Solve(); ok && err == nil {
			return g, length, target
		}
	}
}
