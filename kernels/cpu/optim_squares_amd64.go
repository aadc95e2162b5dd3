package cpu

import "github.com/espalier-ml/espalier/kernels"

// lowerBlockSquares adds squares column by column in float64, run by run of
// rows with the same row block; each run has a sum for every block, folded in
// the order of rows.
func lowerBlockSquares(l *lowering, o *kernels.BlockSquares) []stage {
	n, cols := o.Blocks.N, o.Blocks.Cols
	runs := rowRuns(&o.Blocks, 8*mostRows(cols))
	width := tileWidth(cols, 256)
	columns := map[int][]columnRun{} // by row block
	index := map[int]int{}           // of a run by its first row
	for i, r := range runs {
		index[r.lo] = i
		if columns[r.block] == nil {
			columns[r.block] = columnRuns(columnBlocks(&o.Blocks, r.block))
		}
	}
	sums := l.temp("squares of runs", 2*n*len(runs))
	w, sr, out := l.ref(o.W), l.ref(sums), l.ref(o.Out)
	l.local(2 * width)
	add := byRuns("squares", runs, cols, func(th *worker, run rowRun) {
		acc := wide(th.floats(2 * width))
		clear(acc)
		squaresOfRows(acc, w.f[run.lo*cols:run.hi*cols])
		sum := wide(sr.f)[index[run.lo]*n:][:n]
		clear(sum)
		for ; len(acc) > 0; acc = acc[cols:] {
			for _, c := range columns[run.block] {
				sum[c.block] += sum64(acc[c.lo:c.hi])
			}
		}
	})
	add.reads, add.writes = given(o.W), given(sums)
	fold := stage{name: "squares fold", reads: given(sums), writes: given(o.Out), parts: 1, run: func(*worker, int) {
		s := wide(sr.f)
		for b := range n {
			var t float64
			for i := range runs {
				t += s[i*n+b]
			}
			out.f[b] = float32(t)
		}
	}}
	return []stage{add, fold}
}

// A columnRun is a range of columns [lo, hi) of the same block.
type columnRun struct {
	lo, hi int
	block  int32
}

func columnRuns(blocks []int32) (runs []columnRun) {
	for j, b := range blocks {
		if n := len(runs) - 1; n >= 0 && runs[n].block == b {
			runs[n].hi++
		} else {
			runs = append(runs, columnRun{j, j + 1, b})
		}
	}
	return runs
}

// squaresOfRows adds x², seen as rows as wide as acc, to acc; the last row may
// be shorter.
func squaresOfRows(acc []float64, x []float32) {
	n := len(acc)
	if g := len(x) / (4 * n); g > 0 {
		addSquares4(ptr64(acc), ptr(x), n, g)
		x = x[4*n*g:]
	}
	if g := len(x) / n; g > 0 {
		addSquares1(ptr64(acc), ptr(x), n, g)
		x = x[n*g:]
	}
	if len(x) > 0 {
		addSquares1(ptr64(acc), ptr(x), len(x), 1)
	}
}

// sum64 adds in four chains, which do not wait for each other.
func sum64(x []float64) float64 {
	var a, b, c, d float64
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	for _, v := range x {
		a += v
	}
	return (a + b) + (c + d)
}
