package main

func lossFile() *file {
	f := &file{}
	f.reduction("sumOf", "stores the sum of x in out.", "out x", func(v *lane, acc string) {
		v.op("VADDPS", v.src("x"), acc, acc)
	})
	f.reduction("dotOf", "stores the sum of x·y in out.", "out x y", func(v *lane, acc string) {
		x := v.load("x")
		v.op("VFMADD231PS", v.src("y"), x, acc)
	})
	f.softmaxGrad(false)
	f.softmaxGrad(true)
	return f
}

func (f *file) reduction(name, doc, pointers string, body func(v *lane, acc string)) {
	k := f.kernel(name, doc, arguments{pointers, "n", ""})
	acc := k.regs(4)
	k.clear(acc...)
	k.loop(k.gp["n"], 4, func(v *lane) { body(v, acc[v.index]) })
	k.sumLanes(acc...)
	k.op("VMOVSS", xmm(acc[0]), "("+k.gp["out"]+")")
	k.ret()
}

func (f *file) softmaxGrad(acc bool) {
	name, doc := "softmaxGrad", "computes dx = y·(dy-s)."
	if acc {
		name, doc = name+"Acc", "computes dx += y·(dy-s)."
	}
	k := f.kernel(name, doc, arguments{"dx y dy", "n", "s"})
	k.loop(k.gp["n"], 2, func(v *lane) {
		d := v.load("dy")
		v.op("VSUBPS", k.y["s"], d, d)
		if acc {
			y := v.load("y")
			v.op("VFMADD213PS", v.src("dx"), y, d)
		} else {
			v.op("VMULPS", v.src("y"), d, d)
		}
		v.store(d, "dx")
	})
	k.ret()
}
