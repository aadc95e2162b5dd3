package main

import "fmt"

func pointFile() *file {
	f := &file{}
	for _, op := range []string{"ADD", "SUB", "MUL"} {
		f.binary(op, false)
		f.binary(op, true)
	}
	f.affine()
	f.fill()
	f.rows("copyRows", "copies", false)
	f.rows("addRows", "adds", true)
	f.dropout(false)
	f.dropout(true)
	f.maxPool()
	f.maxPoolGrad()
	f.transpose(false)
	f.transpose(true)
	return f
}

func (f *file) binary(op string, acc bool) {
	name := map[string]string{"ADD": "addInto", "SUB": "subInto", "MUL": "mulInto"}[op]
	sign := map[string]string{"ADD": "+", "SUB": "-", "MUL": "·"}[op]
	doc := "computes y = a " + sign + " b."
	if acc {
		name, doc = name+"Acc", "computes y += a "+sign+" b."
	}
	k := f.kernel(name, doc, arguments{"y a b", "n", ""})
	k.loop(k.gp["n"], 4, func(v *lane) {
		a := v.load("a")
		v.op("V"+op+"PS", v.src("b"), a, a)
		if acc {
			v.op("VADDPS", v.src("y"), a, a)
		}
		v.store(a, "y")
	})
	k.ret()
}

// affine writes the kernels y = a·x + …
func (f *file) affine() {
	for _, c := range []struct{ name, floats, doc string }{
		{"scaleInto", "a", "computes y = a·x."},
		{"scaleShift", "a b", "computes y = a·x + b."},
		{"axpby", "a b", "computes y = a·x + b·y."},
		{"axpy", "a", "computes y += a·x."},
	} {
		k := f.kernel(c.name, c.doc, arguments{"y x", "n", c.floats})
		k.loop(k.gp["n"], 4, func(v *lane) {
			x := v.load("x")
			switch c.name {
			case "scaleInto":
				v.op("VMULPS", k.y["a"], x, x)
			case "scaleShift":
				v.op("VFMADD213PS", k.y["b"], k.y["a"], x)
			case "axpby":
				v.op("VMULPS", k.y["a"], x, x)
				v.op("VFMADD231PS", v.src("y"), k.y["b"], x)
			case "axpy":
				v.op("VFMADD213PS", v.src("y"), k.y["a"], x)
			}
			v.store(x, "y")
		})
		k.ret()
	}
}

func (f *file) fill() {
	k := f.kernel("fillWith", "sets y to a.", arguments{"y", "n", "a"})
	k.loop(k.gp["n"], 4, func(v *lane) { v.store(k.y["a"], "y") })
	k.ret()
}

// rows moves rows that lie apart.
func (f *file) rows(name, doc string, acc bool) {
	k := f.kernel(name, doc+" rows of n elements; they lie dstStep and srcStep elements apart.",
		arguments{"dst src", "n rows dstStep srcStep", ""})
	k.op("SHLQ", "$2", k.gp["dstStep"])
	k.op("SHLQ", "$2", k.gp["srcStep"])
	again := k.newLabel("row")
	k.label(again)
	k.loop(k.gp["n"], 4, func(v *lane) {
		x := v.load("src")
		if acc {
			v.op("VADDPS", v.src("dst"), x, x)
		}
		v.store(x, "dst")
	})
	k.op("ADDQ", k.gp["dstStep"], k.gp["dst"])
	k.op("ADDQ", k.gp["srcStep"], k.gp["src"])
	k.op("DECQ", k.gp["rows"])
	k.op("JNZ", again)
	k.ret()
}

// transpose writes 8 by 8 elements.
func (f *file) transpose(acc bool) {
	name, doc := "transpose8", "sets y to the transpose of 8 by 8 elements of x; rows lie yStep and xStep elements apart."
	if acc {
		name, doc = name+"Acc", "is transpose8, adding to y."
	}
	k := f.kernel(name, doc, arguments{"y x", "yStep xStep", ""})
	x3, y3 := k.free(), k.free()
	k.op("SHLQ", "$2", k.gp["xStep"])
	k.op("SHLQ", "$2", k.gp["yStep"])
	k.op("LEAQ", fmt.Sprintf("(%s)(%s*2)", k.gp["xStep"], k.gp["xStep"]), x3)
	k.op("LEAQ", fmt.Sprintf("(%s)(%s*2)", k.gp["yStep"], k.gp["yStep"]), y3)
	row := func(base, step, step3 string, i int) string {
		switch i % 4 {
		case 0:
			return "(" + base + ")"
		case 1:
			return "(" + base + ")(" + step + "*1)"
		case 2:
			return "(" + base + ")(" + step + "*2)"
		}
		return "(" + base + ")(" + step3 + "*1)"
	}
	for i := range 8 {
		if i == 4 {
			k.op("LEAQ", fmt.Sprintf("(%s)(%s*4)", k.gp["x"], k.gp["xStep"]), k.gp["x"])
		}
		k.op("VMOVUPS", row(k.gp["x"], k.gp["xStep"], x3, i), fmt.Sprintf("Y%d", i))
	}
	y := func(i int) string { return fmt.Sprintf("Y%d", i) }
	for i := 0; i < 8; i += 2 { // pairs
		k.op("VUNPCKLPS", y(i+1), y(i), y(8+i))
		k.op("VUNPCKHPS", y(i+1), y(i), y(9+i))
	}
	for i := 0; i < 8; i += 4 { // fours
		for j := range 2 {
			k.op("VUNPCKLPD", y(10+i+j), y(8+i+j), y(i+2*j))
			k.op("VUNPCKHPD", y(10+i+j), y(8+i+j), y(i+2*j+1))
		}
	}
	for i := range 4 { // halves
		k.op("VPERM2F128", "$0x20", y(4+i), y(i), y(8+i))
		k.op("VPERM2F128", "$0x31", y(4+i), y(i), y(12+i))
	}
	for i := range 8 {
		if i == 4 {
			k.op("LEAQ", fmt.Sprintf("(%s)(%s*4)", k.gp["y"], k.gp["yStep"]), k.gp["y"])
		}
		mem := row(k.gp["y"], k.gp["yStep"], y3, i)
		if acc {
			k.op("VADDPS", mem, y(8+i), y(8+i))
		}
		k.op("VMOVUPS", y(8+i), mem)
	}
	k.ret()
}
