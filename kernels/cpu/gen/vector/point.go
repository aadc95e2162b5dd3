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

// dropout computes Philox4x32-10 for 4 counters a register, each number in the
// lower half of 64 bits: two products of 32 by 32 bits a round and register
// need no shuffling. One step makes 8 counters, 32 elements.
func (f *file) dropout(acc bool) {
	name, doc := "dropout", "sets y to x·scale"
	if acc {
		name, doc = name+"Acc", "adds x·scale to y"
	}
	k := f.kernel(name, doc+" where the element's random number reaches p, else 0."+
		"\n// keys are the 20 round keys and then the counter's last three words, each 8 times; first is the\n// counter of the first element.",
		arguments{"y x keys:uint32", "n first", "p scale"})
	key := func(i int) string { return fmt.Sprintf("%d(%s)", 32*i, k.gp["keys"]) }
	counter := k.reg()
	k.mask = k.reg()
	k.op("VMOVQ", k.gp["first"], xmm(counter))
	k.op("VPBROADCASTQ", xmm(counter), counter)
	k.op("VPADDD", k.order(), counter, counter)
	k.op("MOVQ", k.gp["n"], "CX")
	again, last, end := k.newLabel("step"), k.newLabel("last"), k.newLabel("end")
	words := [2][4]string{{"Y0", "Y1", "Y2", "Y3"}, {"Y4", "Y5", "Y6", "Y7"}}
	k.label(again)
	for g, c := range words {
		k.op("VPADDD", k.constantWord(uint32(4*g)), counter, c[0])
		for i := range 3 {
			k.op("VMOVUPS", key(20+i), c[1+i])
		}
	}
	k.op("VPADDD", k.constantWord(8), counter, counter)
	for round := range 10 {
		for g := range words {
			k.philoxRound(&words[g], []string{"Y8", "Y9"}[g], key(2*round), key(2*round+1))
		}
	}
	for g := range words {
		k.interleave(&words[g], []string{"Y8", "Y9"}[g])
	}
	out := []string{words[0][0], words[0][1], words[1][0], words[1][1]}
	for _, r := range out {
		k.op("VPSRLD", "$9", r, r)
		k.op("VCVTDQ2PS", r, r)
		k.op("VADDPS", k.constant(0.5), r, r)
		k.op("VMULPS", k.constant(1.0/(1<<23)), r, r)
		k.op("VCMPPS", "$2", r, k.y["p"], r) // p <= u
	}
	use := func(r, mask string, off int) {
		x, y := fmt.Sprintf("%d(%s)", off, k.gp["x"]), fmt.Sprintf("%d(%s)", off, k.gp["y"])
		load := func(mem, r string) {
			if mask == "" {
				k.op("VMOVUPS", mem, r)
			} else {
				k.op("VMASKMOVPS", mem, mask, r)
			}
		}
		load(x, "Y8")
		k.op("VMULPS", k.y["scale"], "Y8", "Y8")
		k.op("VANDPS", r, "Y8", "Y8")
		if acc {
			load(y, "Y9")
			k.op("VADDPS", "Y9", "Y8", "Y8")
		}
		if mask == "" {
			k.op("VMOVUPS", "Y8", y)
		} else {
			k.op("VMASKMOVPS", "Y8", mask, y)
		}
	}
	k.op("CMPQ", "CX", "$32")
	k.op("JLT", last)
	for i, r := range out {
		use(r, "", 32*i)
	}
	k.op("ADDQ", "$128", k.gp["x"])
	k.op("ADDQ", "$128", k.gp["y"])
	k.op("SUBQ", "$32", "CX")
	k.op("JNZ", again)
	k.op("JMP", end)
	k.label(last)
	k.op("LEAQ", "tailMask<>+32(SB)", "R14")
	for i, r := range out {
		skip := k.newLabel("whole")
		k.op("MOVQ", "$8", "AX") // min(8, elements left)
		k.op("CMPQ", "CX", "$8")
		k.op("JGE", skip)
		k.op("MOVQ", "CX", "AX")
		k.label(skip)
		k.op("SUBQ", "AX", "CX")
		k.op("SHLQ", "$2", "AX")
		k.op("NEGQ", "AX")
		k.op("VMOVUPS", "(R14)(AX*1)", k.mask)
		use(r, k.mask, 32*i)
	}
	k.label(end)
	k.ret()
}

// philoxRound is one round on four counters; t is scratch.
func (k *kernel) philoxRound(c *[4]string, t, key0, key1 string) {
	k.op("VPMULUDQ", k.constantWord(0xD2511F53), c[0], c[0])
	k.op("VPMULUDQ", k.constantWord(0xCD9E8D57), c[2], c[2])
	k.op("VPXOR", key0, c[1], c[1]) // while the products are made
	k.op("VPXOR", key1, c[3], c[3])
	k.op("VPSRLQ", "$32", c[2], t)
	k.op("VPXOR", t, c[1], c[1]) // new c0
	k.op("VPSRLQ", "$32", c[0], t)
	k.op("VPXOR", t, c[3], c[3]) // new c2
	*c = [4]string{c[1], c[2], c[3], c[0]}
}

// interleave brings the words of counters 0, 2, 1, 3 into the order of
// elements: two vectors, in the first two registers.
func (k *kernel) interleave(c *[4]string, t string) {
	for i := range 2 { // words 2i and 2i+1 side by side
		k.op("VPSLLQ", "$32", c[2*i+1], c[2*i+1])
		k.op("VPBLENDD", "$0xAA", c[2*i+1], c[2*i], c[2*i])
	}
	k.op("VPUNPCKLQDQ", c[2], c[0], t)
	k.op("VPUNPCKHQDQ", c[2], c[0], c[1])
	k.op("VMOVUPS", t, c[0])
}

func (f *file) maxPool() {
	k := f.kernel("maxPoolPixel", "is one output pixel of n channels: the maximum over rows of cols pixels, line and pix\n// bytes apart. where takes tap, the number of the first pixel, plus the maximum's place; a row's numbers\n// start skip after the end of the row before.",
		arguments{"y where:uint8 x", "n rows cols pix line", "tap skip"})
	row, col, p := k.free(), k.free(), k.free()
	best, at, place := k.reg(), k.reg(), k.reg()
	k.loop(k.gp["n"], 1, func(v *lane) {
		v.op("MOVQ", k.gp["rows"], row)
		v.op("LEAQ", fmt.Sprintf("(%s)(AX*1)", k.gp["x"]), "R14")
		v.op("VMOVUPS", k.y["tap"], place)
		v.op("VMOVUPS", place, at)
		load := func(r string) {
			if v.tail {
				v.op("VMASKMOVPS", "("+p+")", k.mask, r)
			} else {
				v.op("VMOVUPS", "("+p+")", r)
			}
		}
		v.op("MOVQ", "R14", p)
		load(best)
		rows, cols := k.newLabel("poolrow"), k.newLabel("poolcol")
		k.label(rows)
		v.op("MOVQ", k.gp["cols"], col)
		v.op("MOVQ", "R14", p)
		k.label(cols)
		x, m := v.tmp(), v.tmp()
		load(x)
		v.op("VCMPPS", "$1", x, best, m) // best < x
		v.op("VBLENDVPS", m, x, best, best)
		v.op("VBLENDVPS", m, place, at, at)
		v.op("VADDPS", k.constant(1), place, place)
		v.op("ADDQ", k.gp["pix"], p)
		v.op("DECQ", col)
		v.op("JNZ", cols)
		v.op("VADDPS", k.y["skip"], place, place)
		v.op("ADDQ", k.gp["line"], "R14")
		v.op("DECQ", row)
		v.op("JNZ", rows)
		v.store(best, "y")
		v.storeBytes(at, "where", row, col)
	})
	k.ret()
}

// storeBytes writes 8 small whole numbers as bytes, at a quarter of the
// running offset.
func (v *lane) storeBytes(r, stream, a, b string) {
	hi := v.tmp()
	v.op("VCVTTPS2DQ", r, r)
	v.op("VEXTRACTI128", "$1", r, xmm(hi))
	v.op("VPACKUSDW", xmm(hi), xmm(r), xmm(r))
	v.op("VPACKUSWB", xmm(r), xmm(r), xmm(r))
	v.op("MOVQ", "AX", a)
	v.op("SHRQ", "$2", a)
	v.op("ADDQ", v.gp[stream], a)
	if !v.tail {
		v.op("VMOVQ", xmm(r), "("+a+")")
		return
	}
	again := v.newLabel("byte")
	v.op("VMOVQ", xmm(r), b)
	v.label(again) // CX is -4·elements
	v.op("MOVB", b, "("+a+")")
	v.op("SHRQ", "$8", b)
	v.op("INCQ", a)
	v.op("ADDQ", "$4", "CX")
	v.op("JNZ", again)
}

func (f *file) maxPoolGrad() {
	k := f.kernel("maxPoolGradRow", "adds dy to dx where `where` is tap, for count pixels of n channels; pixels of dx lie dxStep\n// elements apart, those of dy and where n.",
		arguments{"dx dy where:uint8", "n count dxStep", "tap"})
	a := k.free()
	k.op("SHLQ", "$2", k.gp["dxStep"])
	again := k.newLabel("pixel")
	k.label(again)
	k.loop(k.gp["n"], 1, func(v *lane) {
		m := v.tmp()
		v.op("MOVQ", "AX", a)
		v.op("SHRQ", "$2", a)
		if v.tail { // the last bytes one by one
			v.op("ADDQ", k.gp["where"], a)
			v.bytesTail(a, m)
		} else {
			v.op("VPMOVZXBD", fmt.Sprintf("(%s)(%s*1)", k.gp["where"], a), m)
		}
		v.op("VCVTDQ2PS", m, m)
		v.op("VCMPPS", "$0", k.y["tap"], m, m)
		v.op("VANDPS", v.src("dy"), m, m)
		v.op("VADDPS", v.src("dx"), m, m)
		v.store(m, "dx")
	})
	k.op("ADDQ", k.gp["dxStep"], k.gp["dx"])
	k.op("LEAQ", fmt.Sprintf("(%s)(%s*4)", k.gp["dy"], k.gp["n"]), k.gp["dy"])
	k.op("ADDQ", k.gp["n"], k.gp["where"])
	k.op("DECQ", k.gp["count"])
	k.op("JNZ", again)
	k.ret()
}

// bytesTail collects the last bytes at a in the lanes of m; CX is -4 times
// their number and stays.
func (v *lane) bytesTail(a, m string) {
	again := v.newLabel("byte")
	v.op("MOVQ", "CX", "R14")
	v.op("SARQ", "$2", "R14")
	v.op("SUBQ", "R14", a) // behind the last byte
	v.op("VPXOR", m, m, m)
	v.label(again)
	v.op("DECQ", a)
	v.op("VPSLLDQ", "$1", xmm(m), xmm(m))
	v.op("VPINSRB", "$0", "("+a+")", xmm(m), xmm(m))
	v.op("INCQ", "R14")
	v.op("JNZ", again)
	v.op("VPMOVZXBD", xmm(m), m)
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
