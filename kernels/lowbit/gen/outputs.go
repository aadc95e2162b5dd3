package main

// outputs turns integer sums into numbers, four at a time, every product and
// sum rounded by itself.
func outputs() {
	for _, k := range []struct {
		name string
		add  bool
	}{{"scaleAVX", false}, {"scaleAddAVX", true}} {
		p("\n// func %s(t *float64, dots *int32, steps *float64, n int): n a multiple of 4, > 0", k.name)
		p("TEXT ·%s(SB), NOSPLIT, $0-32\n\tMOVQ t+0(FP), DI\n\tMOVQ dots+8(FP), SI\n\tMOVQ steps+16(FP), DX\n\tMOVQ n+24(FP), CX\n\nloop:", k.name)
		p("\tVCVTDQ2PD (SI), Y0\n\tVMULPD (DX), Y0, Y0")
		if k.add {
			p("\tVADDPD (DI), Y0, Y0")
		}
		p("\tVMOVUPD Y0, (DI)\n\tADDQ $16, SI\n\tADDQ $32, DX\n\tADDQ $32, DI\n\tSUBQ $4, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
	}
	p("\n// func finishAVX(y *float32, t *float64, bias, residual *float32, n int, delta, floor float64): residual may be nil; n a multiple of 4, > 0")
	p("TEXT ·finishAVX(SB), NOSPLIT, $0-56\n\tMOVQ y+0(FP), DI\n\tMOVQ t+8(FP), SI\n\tMOVQ bias+16(FP), DX\n\tMOVQ residual+24(FP), BX\n\tMOVQ n+32(FP), CX\n\tVBROADCASTSD delta+40(FP), Y3\n\tVBROADCASTSD floor+48(FP), Y4\n\nloop:")
	p("\tVMULPD (SI), Y3, Y0\n\tVCVTPS2PD (DX), Y1\n\tVADDPD Y1, Y0, Y0\n\tTESTQ BX, BX\n\tJZ store\n\tVCVTPS2PD (BX), Y1\n\tVADDPD Y1, Y0, Y0\n\tADDQ $16, BX\n\nstore:")
	p("\tVMAXPD Y0, Y4, Y0\n\tVCVTPD2PSY Y0, X0\n\tVMOVUPS X0, (DI)\n\tADDQ $32, SI\n\tADDQ $16, DX\n\tADDQ $16, DI\n\tSUBQ $4, CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}
