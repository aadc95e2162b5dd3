package cpu

import "github.com/espalier-ml/espalier/kernels"

// lowerBlockSquares adds squares column by column in float64, run by run of
// rows with the same row block; each run has a sum for every block, folded in
// the order of rows.
func lowerBlockSquares(l *lowering, o *kernels.BlockSquares) []stage {
	n, cols := max(1, o.Blocks.N), o.Blocks.Cols
	runs := rowRuns(&o.Blocks, mostRows(cols))
	width := tileWidth(cols, 256)
	blocks := map[int][]int32{}
	for i := range runs {
		if blocks[runs[i].block] == nil {
			blocks[runs[i].block] = columnBlocks(&o.Blocks, runs[i].block)
		}
	}
	sums := l.temp("squares of runs", 2*n*len(runs))
	w, sr, out := l.ref(o.W), l.ref(sums), l.ref(o.Out)
	l.local(2 * width)
	at := map[int]int{} // first row to index of the run
	for i, r := range runs {
		at[r.lo] = i
	}
	add := byRuns("squares", runs, cols, func(th *worker, run rowRun) {
		acc := wide(th.floats(2 * width))
		clear(acc)
		x := w.f[run.lo*cols : run.hi*cols]
		if g := len(x) / width; g > 0 {
			addSquares(ptr64(acc), ptr(x), width, g)
			x = x[g*width:]
		}
		if len(x) > 0 {
			addSquares(ptr64(acc), ptr(x), len(x), 1)
		}
		sum := wide(sr.f)[at[run.lo]*n:][:n]
		clear(sum)
		block := blocks[run.block]
		for len(acc) > 0 {
			for j, b := range block {
				sum[b] += acc[j]
			}
			acc = acc[cols:]
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
