package main

import "fmt"

// optimFile: optimizer steps over flat parameters. Rates and corrections are
// either one number or, with blocks, one for each element of a row.
func optimFile() *file {
	f := &file{}
	for _, columns := range []bool{false, true} {
		for _, momentum := range []string{"", "Momentum", "Nesterov"} {
			f.sgd(momentum, columns)
		}
		f.adam(columns)
	}
	f.squares(4)
	f.squares(1)
	f.adaptive()
	return f
}

// coefficients are arguments that are streams or numbers.
type coefficients struct {
	names   string
	columns bool
}

func (c coefficients) arguments(pointers, floats string) arguments {
	if c.columns {
		return arguments{pointers + " " + c.names, "n", floats}
	}
	return arguments{pointers, "n", floats + " " + c.names}
}

func (c coefficients) get(v *lane, name string) string {
	if c.columns {
		return v.src(name)
	}
	return v.y[name]
}

func (c coefficients) suffix() string {
	if c.columns {
		return "Columns"
	}
	return ""
}

// sgd: g' = factor·g + decay·w; m = mu·m + damp·g'; w -= rate·(m or g' or
// g' + momentum·m). Where mu is 0, m is not used, whatever it holds.
func (f *file) sgd(momentum string, columns bool) {
	c, pointers, floats := coefficients{"rate", columns}, "w grad", "factor decay"
	if momentum != "" {
		c.names, pointers = "rate mu damp", "w grad m"
	}
	if momentum == "Nesterov" {
		floats += " momentum"
	}
	k := f.kernel("sgd"+momentum+c.suffix(), "is one step of kernels.SGD.", c.arguments(pointers, floats))
	zero := ""
	if momentum != "" && columns {
		zero = k.reg()
		k.clear(zero)
	}
	k.loop(k.gp["n"], 2, func(v *lane) {
		w, g := v.load("w"), v.load("grad")
		v.op("VMULPS", k.y["factor"], g, g)
		v.op("VFMADD231PS", k.y["decay"], w, g)
		step := g
		if momentum != "" {
			m := v.load("m")
			if columns {
				mu, keep := v.load("mu"), v.tmp()
				v.op("VCMPPS", "$4", mu, zero, keep)
				v.op("VANDPS", keep, m, m)
				v.op("VMULPS", mu, m, m)
			} else {
				v.op("VMULPS", k.y["mu"], m, m)
			}
			v.op("VFMADD231PS", c.get(v, "damp"), g, m)
			v.store(m, "m")
			step = m
			if momentum == "Nesterov" {
				v.op("VFMADD231PS", k.y["momentum"], m, g)
				step = g
			}
		}
		v.op("VFNMADD231PS", c.get(v, "rate"), step, w)
		v.store(w, "w")
	})
	k.ret()
}

func (f *file) adam(columns bool) {
	c := coefficients{"rate corr1 corr2", columns}
	k := f.kernel("adam"+c.suffix(), "is one step of kernels.Adam: l2 enters the gradient, decay the step; new1 is 1-beta1, new2 1-beta2.",
		c.arguments("w grad m v", "factor l2 decay beta1 new1 beta2 new2 eps"))
	k.loop(k.gp["n"], 2, func(v *lane) {
		w, g := v.load("w"), v.load("grad")
		v.op("VMULPS", k.y["factor"], g, g)
		v.op("VFMADD231PS", k.y["l2"], w, g)
		m, s := v.load("m"), v.load("v")
		v.op("VMULPS", k.y["beta1"], m, m)
		v.op("VFMADD231PS", k.y["new1"], g, m)
		v.store(m, "m")
		v.op("VMULPS", g, g, g)
		v.op("VMULPS", k.y["beta2"], s, s)
		v.op("VFMADD231PS", k.y["new2"], g, s)
		v.store(s, "v")
		v.op("VMULPS", c.get(v, "corr2"), s, s)
		v.op("VSQRTPS", s, s)
		v.op("VADDPS", k.y["eps"], s, s)
		v.op("VMULPS", c.get(v, "corr1"), m, m)
		v.op("VDIVPS", s, m, m)
		v.op("VFMADD231PS", k.y["decay"], w, m)
		v.op("VFNMADD231PS", c.get(v, "rate"), m, w)
		v.store(w, "w")
	})
	k.ret()
}

// squares adds x² in float64, two halves of a vector apart.
func (f *file) squares(rows int) {
	k := f.kernel(fmt.Sprintf("addSquares%d", rows), "adds the squares of groups of rows of width elements to sum, column by column.",
		arguments{"sum:float64 x", "width groups", ""})
	k.onRows(rows, []string{"x"}, func(v *lane) {
		for i := range 2 {
			mem := fmt.Sprintf("%d(%s)(AX*2)", 2*v.off+32*i, v.gp["sum"])
			acc := v.tmp()
			if v.tail {
				v.clear(acc)
			} else {
				v.op("VMOVUPD", mem, acc)
			}
			for r := range rows {
				x := v.tmp()
				if v.tail {
					x = v.loadRow("x", r)
					v.op("VEXTRACTF128", fmt.Sprintf("$%d", i), x, xmm(x))
					v.op("VCVTPS2PD", xmm(x), x)
				} else {
					at := *v
					at.off += 16 * i
					v.op("VCVTPS2PD", at.at("x", r), x)
				}
				v.op("VFMADD231PD", x, x, acc)
				v.next--
				if v.tail {
					v.next--
				}
			}
			if v.tail {
				v.wideTail(acc, mem, i)
			} else {
				v.op("VMOVUPD", acc, mem)
			}
			v.next = 0
		}
	})
}
