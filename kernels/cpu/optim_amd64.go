package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerOptim(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.SGD:
		return lowerSGD(l, o)
	case *kernels.Adam:
		return lowerAdam(l, o)
	case *kernels.BlockSquares:
		return lowerBlockSquares(l, o)
	case *kernels.AvaGrad:
		return lowerAvaGrad(l, o)
	case *kernels.RateSquares:
		return lowerRateSquares(l, o)
	case *kernels.AdaBound:
		return lowerAdaBound(l, o)
	}
	return nil
}

// A run is a range of rows [lo, hi) of a parameter with the same row block.
type rowRun struct{ lo, hi, block int }

// rowRuns cuts a parameter's rows where the block changes and every `most`
// rows, in order.
func rowRuns(b *kernels.Blocks, most int) []rowRun {
	var runs []rowRun
	for r := range b.Rows {
		block := 0
		if b.RowBlock != nil {
			block = int(b.RowBlock[r])
		}
		if n := len(runs) - 1; n >= 0 && runs[n].block == block && r-runs[n].lo < most {
			runs[n].hi++
		} else {
			runs = append(runs, rowRun{r, r + 1, block})
		}
	}
	return runs
}

// columnBlocks returns the block of each entry of a row of row block r.
func columnBlocks(b *kernels.Blocks, r int) []int32 {
	c := make([]int32, b.Cols)
	for j := range c {
		c[j] = int32(r)
		if b.ColBlock != nil {
			c[j] = max(c[j], b.ColBlock[j])
		}
	}
	return c
}

// blockTiles spreads numbers of blocks over rows: for every row block that
// occurs, kinds tiles of `width` floats, a whole number of rows.
type blockTiles struct {
	kinds, width int
	at           map[int]int // row block to the place of its tiles
	blocks       [][]int32   // by place: block of each entry of a row
}

func newBlockTiles(b *kernels.Blocks, kinds int) *blockTiles {
	t := &blockTiles{kinds: kinds, width: tileWidth(b.Cols, 512), at: map[int]int{}}
	for _, r := range rowRuns(b, b.Rows) {
		if _, ok := t.at[r.block]; !ok {
			t.at[r.block] = len(t.blocks)
			t.blocks = append(t.blocks, columnBlocks(b, r.block))
		}
	}
	return t
}

func (t *blockTiles) size() int { return t.kinds * t.width * len(t.blocks) }

// tile is the k-th kind's tile at place i.
func (t *blockTiles) tile(mem []float32, i, k int) []float32 {
	return mem[(i*t.kinds+k)*t.width:][:t.width]
}

// stage fills the tiles: value gives the k-th number of a block.
func (t *blockTiles) stage(reads []*kernels.Tensor, mem *kernels.Tensor, m *ref, value func(w *worker, block int32, k int) float32) stage {
	return stage{name: "block rates", reads: reads, writes: given(mem), parts: len(t.blocks),
		run: func(w *worker, i int) {
			for k := range t.kinds {
				tile := t.tile(m.f, i, k)
				for j, b := range t.blocks[i] {
					tile[j] = value(w, b, k)
				}
				n := len(t.blocks[i])
				repeat(tile[n:], tile[:n])
			}
		}}
}

// byRuns is a private stage over runs, about partElems elements a part.
func byRuns(name string, runs []rowRun, cols int, f func(w *worker, run rowRun)) stage {
	var ends []int
	n := 0
	for i, r := range runs {
		if n += (r.hi - r.lo) * cols; n >= partElems || i == len(runs)-1 {
			ends, n = append(ends, i+1), 0
		}
	}
	return stage{name: name, parts: len(ends), run: func(w *worker, p int) {
		lo := 0
		if p > 0 {
			lo = ends[p-1]
		}
		for _, r := range runs[lo:ends[p]] {
			f(w, r)
		}
	}}
}

// mostRows is the number of rows at which long runs are cut.
func mostRows(cols int) int { return max(1, partElems/max(1, cols)) }
