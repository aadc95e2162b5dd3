package main

import "fmt"

// normFile: batch normalisation works on runs of pixels whose per-channel
// coefficients have been repeated to a tile; reductions add up rows of such a
// tile's width.
func normFile() *file {
	f := &file{}
	for _, rows := range []int{4, 1} {
		f.rowSums(rows)
		f.rowMoments(rows)
	}
	for _, relu := range []bool{false, true} {
		for _, res := range []bool{false, true} {
			f.bnApply(relu, res)
		}
	}
	for _, rows := range []int{2, 1} {
		for _, relu := range []bool{false, true} {
			for _, res := range []string{"", "Res", "ResAcc"} {
				f.bnGradSums(rows, relu, res)
			}
		}
	}
	f.bnGradApply(false)
	f.bnGradApply(true)
	f.widen()
	for _, rms := range []bool{false, true} {
		f.layerNorm(rms)
		f.layerNormGrad(rms, false)
		f.layerNormGrad(rms, true)
	}
	return f
}

// onRows runs body over `groups` times as many rows as named; streams advance
// from group to group, everything else starts again at its beginning. The
// kernel must have the int arguments width (elements) and groups.
func (k *kernel) onRows(rows int, streams []string, body func(v *lane)) {
	idx := []string{"AX"}
	for range rows - 1 {
		idx = append(idx, k.free())
	}
	again := k.newLabel("group")
	k.label(again)
	for i, r := range idx[1:] {
		if i == 0 {
			k.op("LEAQ", fmt.Sprintf("(%s*4)", k.gp["width"]), r)
		} else {
			k.op("LEAQ", fmt.Sprintf("(%s)(%s*4)", idx[i], k.gp["width"]), r)
		}
	}
	k.loopRows(k.gp["width"], 1, idx, body)
	k.op("LEAQ", fmt.Sprintf("(%s*4)", k.gp["width"]), "R14")
	for range rows {
		for _, s := range streams {
			k.op("ADDQ", "R14", k.gp[s])
		}
	}
	k.op("DECQ", k.gp["groups"])
	k.op("JNZ", again)
	k.ret()
}

func (f *file) rowSums(rows int) {
	k := f.kernel(fmt.Sprintf("rowSums%d", rows), "adds groups of rows of width elements to sum, column by column.",
		arguments{"sum x", "width groups", ""})
	k.onRows(rows, []string{"x"}, func(v *lane) {
		s := v.load("x")
		for r := 1; r < rows; r++ {
			v.op("VADDPS", v.srcRow("x", r), s, s)
		}
		v.op("VADDPS", v.src("sum"), s, s)
		v.store(s, "sum")
	})
}

func (f *file) rowMoments(rows int) {
	k := f.kernel(fmt.Sprintf("rowMoments%d", rows), "adds x-shift to sum and (x-shift)² to square, column by column.",
		arguments{"sum square shift x", "width groups", ""})
	k.onRows(rows, []string{"x"}, func(v *lane) {
		shift, square := v.load("shift"), v.load("square")
		var s string
		for r := range rows {
			d := v.loadRow("x", r)
			v.op("VSUBPS", shift, d, d)
			v.op("VFMADD231PS", d, d, square)
			if r == 0 {
				s = d
			} else {
				v.op("VADDPS", d, s, s)
			}
		}
		v.op("VADDPS", v.src("sum"), s, s)
		v.store(s, "sum")
		v.store(square, "square")
	})
}

func (f *file) bnApply(relu, res bool) {
	name, doc := "bnApply", "y = x·scale + shift"
	if res {
		name, doc = name+"Res", doc+" + res"
	}
	if relu {
		name, doc = name+"ReLU", "y = max(0, "+doc[4:]+")"
	}
	k := f.kernel(name, "computes "+doc+".", arguments{"y x scale shift" + when(res, "res"), "n", ""})
	var zero string
	if relu {
		zero = k.reg()
		k.clear(zero)
	}
	k.loop(k.gp["n"], 4, func(v *lane) {
		x, s := v.load("x"), v.load("scale")
		v.op("VFMADD213PS", v.src("shift"), s, x)
		if res {
			v.op("VADDPS", v.src("res"), x, x)
		}
		if relu {
			v.op("VMAXPS", x, zero, x) // NaN passes
		}
		v.store(x, "y")
	})
	k.ret()
}

// masked loads the gradient behind the ReLU: dy where y > 0, else 0.
func (v *lane) masked(relu bool, zero string, row int) string {
	d := v.loadRow("dy", row)
	if relu {
		m := v.tmp()
		v.op("VCMPPS", "$9", v.srcRow("y", row), zero, m) // not y <= 0: NaN passes
		v.op("VANDPS", m, d, d)
	}
	return d
}

func (f *file) bnGradSums(rows int, relu bool, res string) {
	name := fmt.Sprintf("bnGradSums%d", rows)
	if relu {
		name += "ReLU"
	}
	k := f.kernel(name+res, "adds d to sum and d·(x-mean) to dot, column by column; d is dy behind the ReLU, res takes it.",
		arguments{"sum dot mean x dy" + when(relu, "y") + when(res != "", "res"), "width groups", ""})
	streams := []string{"x", "dy"}
	var zero string
	if relu {
		zero = k.reg()
		k.clear(zero)
		streams = append(streams, "y")
	}
	if res != "" {
		streams = append(streams, "res")
	}
	k.onRows(rows, streams, func(v *lane) {
		mean, dot, sum := v.load("mean"), v.load("dot"), v.load("sum")
		for r := range rows {
			d := v.masked(relu, zero, r)
			x := v.loadRow("x", r)
			v.op("VSUBPS", mean, x, x)
			v.op("VFMADD231PS", d, x, dot)
			v.op("VADDPS", d, sum, sum)
			if res == "ResAcc" {
				v.op("VADDPS", v.srcRow("res", r), d, d)
			}
			if res != "" {
				v.storeRow(d, "res", r)
			}
		}
		v.store(sum, "sum")
		v.store(dot, "dot")
	})
}

func (f *file) bnGradApply(relu bool) {
	name := "bnGradApply"
	if relu {
		name += "ReLU"
	}
	k := f.kernel(name, "computes dx = a·d + b·(x-mean) + c; d is dy behind the ReLU.", arguments{"dx dy x mean a b c" + when(relu, "y"), "n", ""})
	var zero string
	if relu {
		zero = k.reg()
		k.clear(zero)
	}
	k.loop(k.gp["n"], 2, func(v *lane) {
		x, c := v.load("x"), v.load("c")
		v.op("VSUBPS", v.src("mean"), x, x)
		v.op("VFMADD231PS", v.src("b"), x, c)
		d := v.masked(relu, zero, 0)
		v.op("VFMADD231PS", v.src("a"), d, c)
		v.store(c, "dx")
	})
	k.ret()
}

// widen adds float32 sums to float64 sums.
func (f *file) widen() {
	k := f.kernel("addWide", "adds n elements of x to sum and clears them.", arguments{"sum:float64 x", "n", ""})
	zero := k.reg()
	k.clear(zero)
	k.loop(k.gp["n"], 2, func(v *lane) {
		x, hi := v.load("x"), v.tmp()
		v.op("VEXTRACTF128", "$1", x, xmm(hi))
		for i, half := range []string{x, hi} {
			mem := fmt.Sprintf("%d(%s)(AX*2)", 2*v.off+32*i, v.gp["sum"])
			v.op("VCVTPS2PD", xmm(half), half)
			if v.tail {
				v.wideTail(half, mem, i)
				continue
			}
			v.op("VADDPD", mem, half, half)
			v.op("VMOVUPD", half, mem)
		}
		v.store(zero, "x")
	})
	k.ret()
}

// wideTail adds 4 doubles to memory under the i-th half of the mask.
func (v *lane) wideTail(r, mem string, i int) {
	m, old := v.tmp(), v.tmp()
	v.op("VEXTRACTF128", fmt.Sprintf("$%d", i), v.mask, xmm(m))
	v.op("VPMOVSXDQ", xmm(m), m)
	v.op("VMASKMOVPD", mem, m, old)
	v.op("VADDPD", old, r, r)
	v.op("VMASKMOVPD", r, m, mem)
}

func xmm(y string) string { return "X" + y[1:] }
