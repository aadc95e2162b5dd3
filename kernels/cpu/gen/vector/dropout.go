package main

import "fmt"

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
