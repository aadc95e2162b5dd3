package main

import "fmt"

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
