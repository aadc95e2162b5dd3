package main

import "fmt"

// adaptive: AvaGrad and AdaBound. Numbers of blocks are always streams.
func (f *file) adaptive() {
	f.avagrad(false)
	f.avagrad(true)
	f.rateSquares()
	f.adabound(false)
	f.adabound(true)
}

// avagrad: the step a·m/(corr·√v+eps) + d·w divides by the old v. With
// squares, the rates 1/(next·√v+eps) of the old v are squared and added to
// sum, column by column; both quotients come from one division.
func (f *file) avagrad(squares bool) {
	name, pointers := "avagrad", "w grad m v a d corr"
	if squares {
		name, pointers = "avagradSquares", pointers+" next sum:float64"
	}
	k := f.kernel(name, "is one step of kernels.AvaGrad: w -= d·w + a·m/(corr·√v+eps); new1 is 1-beta1, new2 1-beta2.",
		arguments{pointers, "n", "factor l2 beta1 new1 beta2 new2 eps"})
	one := ""
	if squares {
		one = k.reg()
		k.op("VMOVUPS", k.constant(1), one)
	}
	k.loop(k.gp["n"], 1, func(v *lane) {
		w, g := v.load("w"), v.load("grad")
		v.op("VMULPS", k.y["factor"], g, g)
		v.op("VFMADD231PS", k.y["l2"], w, g)
		m, s := v.load("m"), v.load("v")
		v.op("VMULPS", k.y["beta1"], m, m)
		v.op("VFMADD231PS", k.y["new1"], g, m)
		v.store(m, "m")
		root := v.tmp()
		v.op("VSQRTPS", s, root)
		v.op("VMULPS", g, g, g)
		v.op("VMULPS", k.y["beta2"], s, s)
		v.op("VFMADD231PS", k.y["new2"], g, s)
		v.store(s, "v")
		v.into(g, "a")
		v.op("VMULPS", g, m, m)
		v.denominator("corr", root, g)
		if squares {
			v.denominator("next", root, s)
			v.op("VMULPS", g, s, root)
			v.op("VDIVPS", root, one, root)
			v.op("VMULPS", s, root, s) // 1/(corr·√v+eps)
			v.op("VMULPS", s, m, m)
			v.op("VMULPS", g, root, g) // 1/(next·√v+eps)
		} else {
			v.op("VDIVPS", g, m, m)
		}
		v.into(s, "d")
		v.op("VFNMADD231PS", s, w, w)
		v.op("VSUBPS", m, w, w)
		v.store(w, "w")
		if squares {
			v.addSquares(g)
		}
	})
	k.ret()
}

// denominator is to = eps + factor·root.
func (v *lane) denominator(factor, root, to string) {
	v.into(to, factor)
	v.op("VFMADD213PS", v.y["eps"], root, to)
}

func (f *file) rateSquares() {
	k := f.kernel("rateSquares", "adds (1/(corr·√v+eps))² to sum, column by column.", arguments{"v corr sum:float64", "n", "eps"})
	one := k.reg()
	k.op("VMOVUPS", k.constant(1), one)
	k.loop(k.gp["n"], 2, func(v *lane) {
		root, r := v.tmp(), v.tmp()
		v.into(root, "v")
		v.op("VSQRTPS", root, root)
		v.denominator("corr", root, r)
		v.op("VDIVPS", r, one, r)
		v.addSquares(r)
	})
	k.ret()
}

// addSquares adds r² to the stream sum of doubles, all other scratch
// registers being free.
func (v *lane) addSquares(r string) {
	for i := range 2 {
		mem := fmt.Sprintf("%d(%s)(AX*2)", 2*v.off+32*i, v.gp["sum"])
		v.next = 0
		half := v.tmp()
		if half == r {
			half = v.tmp()
		}
		if i == 0 {
			v.op("VCVTPS2PD", xmm(r), half)
		} else {
			v.op("VEXTRACTF128", "$1", r, xmm(half))
			v.op("VCVTPS2PD", xmm(half), half)
		}
		v.op("VMULPD", half, half, half)
		if v.tail {
			v.next = 2
			v.wideTail(half, mem, i)
		} else {
			v.op("VADDPD", mem, half, half)
			v.op("VMOVUPD", half, mem)
		}
	}
}

// into loads a vector of a stream to a register in use.
func (v *lane) into(r, stream string) {
	if v.tail {
		v.op("VMASKMOVPS", v.at(stream, 0), v.mask, r)
	} else {
		v.op("VMOVUPS", v.at(stream, 0), r)
	}
}

// adabound: rate = min(max(scale/(√v+eps), lower), upper)·factor of the block.
// Where an operand is NaN, the result is: w comes first in max and min.
func (f *file) adabound(ams bool) {
	name, pointers := "adabound", "w grad m v rate beta1 scale lower upper"
	if ams {
		name, pointers = "amsbound", pointers+" top"
	}
	k := f.kernel(name, "is one step of kernels.AdaBound: l2 enters the gradient, decay the step; new2 is 1-beta2.",
		arguments{pointers, "n", "factor l2 decay beta2 new2 eps low high"})
	one := k.reg()
	k.op("VMOVUPS", k.constant(1), one)
	k.loop(k.gp["n"], 1, func(v *lane) {
		w, g, m := v.load("w"), v.load("grad"), v.load("m")
		s, t := v.tmp(), v.tmp()
		v.op("VMULPS", k.y["factor"], g, g)
		v.op("VFMADD231PS", k.y["l2"], w, g)
		v.into(t, "beta1")
		v.op("VMULPS", t, m, m)
		v.op("VSUBPS", t, one, t)
		v.op("VFMADD231PS", t, g, m)
		v.store(m, "m")
		v.into(s, "v")
		v.op("VMULPS", g, g, g)
		v.op("VMULPS", k.y["beta2"], s, s)
		v.op("VFMADD231PS", k.y["new2"], g, s)
		v.store(s, "v")
		if ams {
			v.into(t, "top")
			v.op("VMAXPS", s, t, s)
			v.store(s, "top")
		}
		v.op("VSQRTPS", s, s)
		v.op("VADDPS", k.y["eps"], s, s)
		v.into(t, "scale")
		v.op("VDIVPS", s, t, t)
		v.into(s, "lower")
		v.op("VMAXPS", t, s, t)
		v.into(s, "upper")
		v.op("VMINPS", t, s, t)
		v.into(s, "rate")
		v.op("VMULPS", s, t, t)
		v.op("VFNMADD231PS", k.y["decay"], w, w)
		v.op("VFNMADD231PS", m, t, w)
		v.op("VMAXPS", w, k.y["low"], w)
		v.op("VMINPS", w, k.y["high"], w)
		v.store(w, "w")
	})
	k.ret()
}
