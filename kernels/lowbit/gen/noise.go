package main

import "fmt"

// round is encode without packing: multiples of delta as floats. A NaN stays.
func round() {
	p("\n// func roundAVX(dst, x *float32, n int, delta, most float32): n a multiple of 8, > 0")
	p("TEXT ·roundAVX(SB), NOSPLIT, $0-32\n\tMOVQ dst+0(FP), DI\n\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tVBROADCASTSS delta+24(FP), Y4\n\tVBROADCASTSS most+28(FP), Y5\n\tVPXOR Y6, Y6, Y6\n\tVSUBPS Y5, Y6, Y6\n\nloop:")
	p("\tVMOVUPS (SI), Y0\n\tVDIVPS Y4, Y0, Y0\n\tVMAXPS Y0, Y6, Y0\n\tVMINPS Y0, Y5, Y0\n\tVROUNDPS $8, Y0, Y0\n\tVMULPS Y4, Y0, Y0\n\tVMOVUPS Y0, (DI)\n\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// noise is Philox4x32-10 on eight counters at a time: each number stands in
// the lower half of 64 bits, so that products of 32 by 32 bits need no
// shuffling. keys are the 20 round keys, then the counter's last three words,
// eight times each.
func noise() {
	for i, w := range []uint64{0, 2, 1, 3} {
		p("DATA evens<>+%d(SB)/8, $%d", 8*i, w)
	}
	p("GLOBL evens<>(SB), RODATA|NOPTR, $32")
	for _, c := range []struct {
		name string
		word uint32
	}{{"mul0", 0xD2511F53}, {"mul1", 0xCD9E8D57}, {"four", 4}, {"eight", 8}, {"half", 0x3f000000}, {"scale", 0x34800000}, {"one", 0x3f800000}} {
		for i := range 4 {
			p("DATA %s<>+%d(SB)/8, $0x%08x%08x", c.name, 8*i, c.word, c.word)
		}
		p("GLOBL %s<>(SB), RODATA|NOPTR, $32", c.name)
	}
	p("\n// func noiseAVX(dst *float32, keys *uint32, n, first int): n a multiple of 32, > 0")
	p("TEXT ·noiseAVX(SB), NOSPLIT, $0-32\n\tMOVQ dst+0(FP), DI\n\tMOVQ keys+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tVMOVQ first+24(FP), X15\n\tVPBROADCASTQ X15, Y15\n\tVPADDD evens<>(SB), Y15, Y15\n\nloop:")
	words := [2][4]string{{"Y0", "Y1", "Y2", "Y3"}, {"Y4", "Y5", "Y6", "Y7"}}
	p("\tVMOVDQU Y15, Y0\n\tVPADDD four<>(SB), Y15, Y4\n\tVPADDD eight<>(SB), Y15, Y15")
	for g := range words {
		for i := range 3 {
			p("\tVMOVDQU %d(SI), %s", 32*(20+i), words[g][1+i])
		}
	}
	for r := range 10 {
		for g := range words {
			philox(&words[g], fmt.Sprintf("Y%d", 8+g), 64*r)
		}
	}
	for g := range words {
		c, t := words[g], fmt.Sprintf("Y%d", 8+g)
		for i := range 2 {
			p("\tVPSLLQ $32, %s, %s\n\tVPBLENDD $0xAA, %s, %s, %s", c[2*i+1], c[2*i+1], c[2*i+1], c[2*i], c[2*i])
		}
		p("\tVPUNPCKLQDQ %s, %s, %s\n\tVPUNPCKHQDQ %s, %s, %s", c[2], c[0], t, c[2], c[0], c[1])
		for i, r := range []string{t, c[1]} {
			p("\tVPSRLD $9, %s, %s\n\tVCVTDQ2PS %s, %s\n\tVADDPS half<>(SB), %s, %s\n\tVMULPS scale<>(SB), %s, %s\n\tVSUBPS one<>(SB), %s, %s\n\tVMOVUPS %s, %d(DI)",
				r, r, r, r, r, r, r, r, r, r, r, 64*g+32*i)
		}
	}
	p("\tADDQ $128, DI\n\tSUBQ $32, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// philox is one round on four counters; t is scratch.
func philox(c *[4]string, t string, key int) {
	p("\tVPMULUDQ mul0<>(SB), %s, %s\n\tVPMULUDQ mul1<>(SB), %s, %s", c[0], c[0], c[2], c[2])
	p("\tVPXOR %d(SI), %s, %s\n\tVPXOR %d(SI), %s, %s", key, c[1], c[1], key+32, c[3], c[3])
	p("\tVPSRLQ $32, %s, %s\n\tVPXOR %s, %s, %s", c[2], t, t, c[1], c[1])
	p("\tVPSRLQ $32, %s, %s\n\tVPXOR %s, %s, %s", c[0], t, t, c[3], c[3])
	*c = [4]string{c[1], c[2], c[3], c[0]}
}

// columns is the largest magnitude of columns so far.
func columns() {
	p("\n// func largerAVX(m, x *float32, n int): m = max(m, |x|) for m ≥ 0, n a multiple of 8, > 0")
	p("TEXT ·largerAVX(SB), NOSPLIT, $0-24\n\tMOVQ m+0(FP), DI\n\tMOVQ x+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tVMOVDQU abs<>(SB), Y2\n\nloop:")
	p("\tVPAND (SI), Y2, Y1\n\tVPMAXUD (DI), Y1, Y0\n\tVMOVUPS Y0, (DI)\n\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// levels rounds weights to levels of their columns: down and half a step up,
// or to the nearest.
func levels() {
	for _, v := range []struct {
		name string
		mode int
	}{{"downAVX", 9}, {"nearestAVX", 8}} {
		p("\n// func %s(w, inverse, step *float32, n int, low, high, mid float32): n a multiple of 8, > 0", v.name)
		p("TEXT ·%s(SB), NOSPLIT, $0-44\n\tMOVQ w+0(FP), DI\n\tMOVQ inverse+8(FP), SI\n\tMOVQ step+16(FP), DX\n\tMOVQ n+24(FP), CX\n\tVBROADCASTSS low+32(FP), Y4\n\tVBROADCASTSS high+36(FP), Y5\n\tVBROADCASTSS mid+40(FP), Y6\n\nloop:", v.name)
		p("\tVMOVUPS (DI), Y0\n\tVMULPS (SI), Y0, Y0\n\tVROUNDPS $%d, Y0, Y0\n\tVMAXPS Y0, Y4, Y0\n\tVMINPS Y0, Y5, Y0\n\tVADDPS Y6, Y0, Y0\n\tVMULPS (DX), Y0, Y0\n\tVMOVUPS Y0, (DI)", v.mode)
		p("\tADDQ $32, DI\n\tADDQ $32, SI\n\tADDQ $32, DX\n\tSUBQ $8, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
	}
}
