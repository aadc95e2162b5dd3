package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A file collects the assembly of one family and the Go declarations that
// belong to it.
type file struct {
	asm, decl strings.Builder
	consts    []uint32 // vector constants, in order of first use
	ordered   bool     // the constant of order is used
	labels    int
}

// Registers that arguments live in. AX is the running offset in bytes, CX the
// number of elements left, R14 is free for a moment; BP belongs to Go.
var general = []string{"SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13", "BX", "DX", "R15"}

// kernel is one function while it is written.
type kernel struct {
	*file
	gp   map[string]string // pointer and int arguments
	y    map[string]string // float32 arguments, in all lanes
	used int               // vector registers taken from Y15 downwards
	mask string            // register of the tail's mask, reserved on demand
}

// arguments of a kernel: names separated by blanks; "p:float64" names a
// pointer to something other than float32, "-p" one that stands in the
// signature only for the sake of its siblings.
type arguments struct{ pointers, ints, floats string }

// kernel begins a function and loads its arguments.
func (f *file) kernel(name, doc string, a arguments) *kernel {
	k := &kernel{file: f, gp: map[string]string{}, y: map[string]string{}}
	var decl []string
	var body strings.Builder
	off := 0
	place := func(n string) {
		k.gp[n] = general[len(k.gp)]
		fmt.Fprintf(&body, "\tMOVQ %s+%d(FP), %s\n", n, off, k.gp[n])
		off += 8
	}
	for _, n := range strings.Fields(a.pointers) {
		n, typ, ok := strings.Cut(n, ":")
		if !ok {
			typ = "float32"
		}
		if unused, ok := strings.CutPrefix(n, "-"); ok {
			n = unused
			off += 8
		} else {
			place(n)
		}
		decl = append(decl, n+" *"+typ)
	}
	for _, n := range strings.Fields(a.ints) {
		place(n)
		decl = append(decl, n+" int")
	}
	for _, n := range strings.Fields(a.floats) {
		k.y[n] = k.reg()
		fmt.Fprintf(&body, "\tVBROADCASTSS %s+%d(FP), %s\n", n, off, k.y[n])
		off += 4
		decl = append(decl, n+" float32")
	}
	fmt.Fprintf(&f.decl, "\n// %s %s\n//\n//go:noescape\nfunc %s(%s)\n", name, doc, name, strings.Join(decl, ", "))
	fmt.Fprintf(&f.asm, "\n// func %s(%s)\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, strings.Join(decl, ", "), name, off)
	f.asm.WriteString(body.String())
	return k
}

// free takes a general register for the rest of the kernel.
func (k *kernel) free() string {
	r := general[len(k.gp)]
	k.gp[r] = r
	return r
}

// op writes one instruction; the destination comes last.
func (f *file) op(name string, args ...any) {
	s := make([]string, len(args))
	for i, a := range args {
		s[i] = fmt.Sprint(a)
	}
	fmt.Fprintf(&f.asm, "\t%s %s\n", name, strings.Join(s, ", "))
}

func (f *file) newLabel(s string) string {
	f.labels++
	return fmt.Sprintf("%s%d", s, f.labels)
}

func (f *file) label(s string) { fmt.Fprintf(&f.asm, "%s:\n", s) }

func (k *kernel) ret() {
	k.op("VZEROUPPER")
	k.op("RET")
}

// reg takes a vector register for the rest of the kernel.
func (k *kernel) reg() string {
	k.used++
	if k.used > 15 {
		panic("gen: out of vector registers")
	}
	return fmt.Sprintf("Y%d", 16-k.used)
}

// regs takes n of them.
func (k *kernel) regs(n int) []string {
	r := make([]string, n)
	for i := range r {
		r[i] = k.reg()
	}
	return r
}

// when marks an argument that is not used where cond is false.
func when(cond bool, name string) string {
	if cond {
		return " " + name
	}
	return " -" + name
}

func (f *file) clear(regs ...string) {
	for _, r := range regs {
		f.op("VXORPS", r, r, r)
	}
}

// lane is one vector of 8 elements while the body of a loop is written.
type lane struct {
	*kernel
	index int      // of the unrolled vector
	off   int      // bytes behind the running offset
	tail  bool     // the last n%8 elements
	rows  []string // rows kernels: the offset of each row
	next  int      // next free scratch register
}

func (v *lane) tmp() string {
	if v.next > 15-v.used {
		panic("gen: out of scratch registers")
	}
	v.next++
	return fmt.Sprintf("Y%d", v.next-1)
}

// at is the memory of a stream's vector in a row.
func (v *lane) at(stream string, row int) string {
	idx := "AX"
	if row > 0 {
		idx = v.rows[row]
	}
	return fmt.Sprintf("%d(%s)(%s*1)", v.off, v.gp[stream], idx)
}

func (v *lane) load(stream string) string { return v.loadRow(stream, 0) }

// loadRow reads a vector; behind the end of the stream it is 0.
func (v *lane) loadRow(stream string, row int) string {
	r := v.tmp()
	if v.tail {
		v.op("VMASKMOVPS", v.at(stream, row), v.mask, r)
	} else {
		v.op("VMOVUPS", v.at(stream, row), r)
	}
	return r
}

// src is an operand that may stand first in an instruction: memory where that
// is allowed, else a register.
func (v *lane) src(stream string) string { return v.srcRow(stream, 0) }

func (v *lane) srcRow(stream string, row int) string {
	if v.tail {
		return v.loadRow(stream, row)
	}
	return v.at(stream, row)
}

func (v *lane) store(r, stream string) { v.storeRow(r, stream, 0) }

func (v *lane) storeRow(r, stream string, row int) {
	if v.tail {
		v.op("VMASKMOVPS", r, v.mask, v.at(stream, row))
	} else {
		v.op("VMOVUPS", r, v.at(stream, row))
	}
}

// blank sets the lanes behind the end to 0: needed before they are summed.
func (v *lane) blank(r string) {
	if v.tail {
		v.op("VANDPS", v.mask, r, r)
	}
}

// loop runs body over all elements: unroll vectors at a time, then one at a
// time, then a masked tail that touches nothing behind the end. n is the
// register of the count. AX starts at 0; all of rows, but the first, advance
// with it.
func (k *kernel) loop(n string, unroll int, body func(v *lane)) {
	k.loopRows(n, unroll, nil, body)
}

func (k *kernel) loopRows(n string, unroll int, rows []string, body func(v *lane)) {
	if k.mask == "" {
		k.mask = k.reg()
	}
	one, tail, end := k.newLabel("one"), k.newLabel("tail"), k.newLabel("end")
	k.op("MOVQ", n, "CX")
	k.op("XORQ", "AX", "AX")
	if unroll > 1 {
		k.block(k.newLabel("wide"), one+"begin", unroll, rows, body)
	}
	k.block(one, tail, 1, rows, body)
	k.op("JZ", end)
	k.op("SHLQ", "$2", "CX")
	k.op("NEGQ", "CX")
	k.op("LEAQ", "tailMask<>+32(SB)", "R14")
	k.op("VMOVUPS", "(R14)(CX*1)", k.mask)
	body(&lane{kernel: k, tail: true, rows: rows})
	k.label(end)
}

// block loops while CX has as many elements as the vectors take. It leaves
// through exit with the zero flag telling whether CX is 0.
func (k *kernel) block(label, exit string, vectors int, rows []string, body func(v *lane)) {
	n := fmt.Sprintf("$%d", 8*vectors)
	k.op("SUBQ", n, "CX")
	k.op("JLT", exit)
	k.asm.WriteString("\tPCALIGN $32\n")
	k.label(label)
	for u := range vectors {
		body(&lane{kernel: k, index: u, off: 32 * u, rows: rows})
	}
	bytes := fmt.Sprintf("$%d", 32*vectors)
	k.op("ADDQ", bytes, "AX")
	for _, r := range rows[min(1, len(rows)):] {
		k.op("ADDQ", bytes, r)
	}
	k.op("SUBQ", n, "CX")
	k.op("JGE", label)
	k.label(exit)
	k.op("ADDQ", n, "CX")
}

// constant is a vector with the value in all lanes, as a memory operand.
func (f *file) constant(x float32) string { return f.constantWord(math.Float32bits(x)) }

// order is the vector of 64-bit numbers 0, 2, 1, 3.
func (f *file) order() string {
	f.ordered = true
	return "order<>(SB)"
}

func (f *file) constantWord(bits uint32) string {
	if !slices.Contains(f.consts, bits) {
		f.consts = append(f.consts, bits)
	}
	return fmt.Sprintf("w%08x<>(SB)", bits)
}

// source is the complete assembly file.
func (f *file) source() string {
	var b strings.Builder
	b.WriteString("// Code generated by gen/vector. DO NOT EDIT.\n\n#include \"textflag.h\"\n\n")
	data := func(name string, words []uint32) {
		for i := 0; i < len(words); i += 2 {
			fmt.Fprintf(&b, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", name, 4*i, words[i+1], words[i])
		}
		fmt.Fprintf(&b, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", name, 4*len(words))
	}
	on := ^uint32(0)
	data("tailMask", []uint32{on, on, on, on, on, on, on, on, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, c := range f.consts {
		data(fmt.Sprintf("w%08x", c), []uint32{c, c, c, c, c, c, c, c})
	}
	if f.ordered {
		data("order", []uint32{0, 0, 2, 0, 1, 0, 3, 0})
	}
	return b.String() + f.asm.String()
}

// declarations is the Go file that belongs to it.
func (f *file) declarations() string {
	return "// Code generated by gen/vector. DO NOT EDIT.\n\npackage cpu\n" + f.decl.String()
}
