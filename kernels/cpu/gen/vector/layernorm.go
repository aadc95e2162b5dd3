package main

// Layer normalisation takes a row at a time: it stays in the first-level cache
// between the passes over it.

// sumLanes leaves the sum over all lanes of all regs in all lanes of the first.
func (k *kernel) sumLanes(regs ...string) {
	for len(regs) > 1 {
		half := len(regs) / 2
		for i := range half {
			k.op("VADDPS", regs[half+i], regs[i], regs[i])
		}
		regs = regs[:half]
	}
	s := regs[0]
	k.op("VEXTRACTF128", "$1", s, "X0")
	k.op("VADDPS", "X0", xmm(s), xmm(s))
	k.op("VHADDPS", xmm(s), xmm(s), xmm(s))
	k.op("VHADDPS", xmm(s), xmm(s), xmm(s))
	k.op("VBROADCASTSS", xmm(s), s)
}

// eachRow runs body for `rows` rows; streams advance by a row, scalars by one
// element.
func (k *kernel) eachRow(streams, scalars []string, body func()) {
	again := k.newLabel("row")
	k.label(again)
	body()
	k.op("LEAQ", "("+k.gp["width"]+"*4)", "R14")
	for _, s := range streams {
		k.op("ADDQ", "R14", k.gp[s])
	}
	for _, s := range scalars {
		k.op("ADDQ", "$4", k.gp[s])
	}
	k.op("DECQ", k.gp["rows"])
	k.op("JNZ", again)
	k.ret()
}

func (f *file) layerNorm(rms bool) {
	name, doc := "layerNormRows", "normalises rows of width elements; share is 1/width."
	if rms {
		name, doc = "rmsNormRows", "is layerNormRows around 0."
	}
	k := f.kernel(name, doc, arguments{"y x gamma" + when(!rms, "beta") + when(!rms, "mean") + " inv", "width rows", "eps share"})
	scalars := []string{"inv"}
	var mean string
	if !rms {
		mean, scalars = k.reg(), []string{"inv", "mean"}
	}
	acc := k.regs(4)
	k.eachRow([]string{"x", "y"}, scalars, func() {
		if !rms {
			k.clear(acc...)
			k.loop(k.gp["width"], 4, func(v *lane) {
				v.op("VADDPS", v.src("x"), acc[v.index], acc[v.index])
			})
			k.sumLanes(acc...)
			k.op("VMULPS", k.y["share"], acc[0], mean)
			k.op("VMOVSS", xmm(mean), "("+k.gp["mean"]+")")
		}
		k.clear(acc...)
		k.loop(k.gp["width"], 4, func(v *lane) {
			x := v.load("x")
			if !rms {
				v.op("VSUBPS", mean, x, x)
				v.blank(x)
			}
			v.op("VFMADD231PS", x, x, acc[v.index])
		})
		k.sumLanes(acc...)
		inv := acc[0]
		k.op("VFMADD213PS", k.y["eps"], k.y["share"], inv)
		k.op("VSQRTPS", inv, inv)
		k.op("VMOVUPS", k.constant(1), acc[1])
		k.op("VDIVPS", inv, acc[1], inv)
		k.op("VMOVSS", xmm(inv), "("+k.gp["inv"]+")")
		k.loop(k.gp["width"], 4, func(v *lane) {
			x := v.load("x")
			if !rms {
				v.op("VSUBPS", mean, x, x)
			}
			v.op("VMULPS", inv, x, x)
			if rms {
				v.op("VMULPS", v.src("gamma"), x, x)
			} else {
				g := v.load("gamma")
				v.op("VFMADD213PS", v.src("beta"), g, x)
			}
			v.store(x, "y")
		})
	})
}

// normal loads x̂, the normalised input; 0 behind the end where dy is.
func (v *lane) normal(rms bool, mean, inv string) string {
	x := v.load("x")
	if !rms {
		v.op("VSUBPS", mean, x, x)
	}
	v.op("VMULPS", inv, x, x)
	return x
}

func (f *file) layerNormGrad(rms, acc bool) {
	name := "layerNormGradRows"
	if rms {
		name = "rmsNormGradRows"
	}
	if acc {
		name += "Acc"
	}
	k := f.kernel(name, "computes dx of rows of width elements and adds to dgamma and dbeta; share is 1/width.",
		arguments{"dx dy x gamma" + when(!rms, "mean") + " inv dgamma" + when(!rms, "dbeta"), "width rows", "share"})
	scalars := []string{"inv"}
	mean := ""
	if !rms {
		mean, scalars = k.reg(), []string{"inv", "mean"}
	}
	inv, sum, dot := k.reg(), k.regs(2), k.regs(2)
	k.eachRow([]string{"x", "dx", "dy"}, scalars, func() {
		if !rms {
			k.op("VBROADCASTSS", "("+k.gp["mean"]+")", mean)
		}
		k.op("VBROADCASTSS", "("+k.gp["inv"]+")", inv)
		k.clear(append(sum, dot...)...)
		k.loop(k.gp["width"], 2, func(v *lane) {
			dy, x := v.load("dy"), v.normal(rms, mean, inv)
			t := v.load("dgamma")
			v.op("VFMADD231PS", x, dy, t)
			v.store(t, "dgamma")
			if !rms {
				v.op("VADDPS", v.src("dbeta"), dy, t)
				v.store(t, "dbeta")
			}
			v.op("VMULPS", v.src("gamma"), dy, dy)
			v.op("VFMADD231PS", x, dy, dot[v.index])
			if !rms {
				v.op("VADDPS", dy, sum[v.index], sum[v.index])
			}
		})
		k.sumLanes(dot...)
		k.op("VMULPS", k.y["share"], dot[0], dot[0])
		if !rms {
			k.sumLanes(sum...)
			k.op("VMULPS", k.y["share"], sum[0], sum[0])
		}
		k.loop(k.gp["width"], 2, func(v *lane) {
			g, x := v.load("dy"), v.normal(rms, mean, inv)
			v.op("VMULPS", v.src("gamma"), g, g)
			if !rms {
				v.op("VSUBPS", sum[0], g, g)
			}
			v.op("VFNMADD231PS", dot[0], x, g)
			if acc {
				v.op("VFMADD213PS", v.src("dx"), inv, g)
			} else {
				v.op("VMULPS", inv, g, g)
			}
			v.store(g, "dx")
		})
	})
}
