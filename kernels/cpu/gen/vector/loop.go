package main

import "fmt"

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
