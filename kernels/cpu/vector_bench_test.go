package cpu

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// A streaming kernel is as good as its share of the speed at which memory, or
// the cache that holds the operands, can be read and written: the rate of
// a = b + 3·c over as many bytes, taken right before.

type streamed struct {
	name  string
	op    kernels.Op
	bytes int // read and written by one run, as the op defines it
}

func (s streamed) bench(b *testing.B) {
	needAVX2(b)
	b.Run(s.name, func(b *testing.B) {
		d, err := New(Options{Threads: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		total := 0
		for _, t := range append(s.op.Inputs(), s.op.Outputs()...) {
			if t.Buf, err = d.Alloc(t.Bytes() + stagger); err != nil {
				b.Fatal(err)
			}
			defer t.Buf.Close()
			t.Off = total * 17 * 64 % stagger &^ 63
			total++
			if t.DType == kernels.F32 {
				for i, f := 0, F32(t); i < len(f); i++ {
					f[i] = 0.5 + sample(t.Name, i)/8
				}
			}
		}
		x, err := d.Compile([]kernels.Op{s.op})
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		env := &kernels.Env{Rate: 1e-9, GradFactor: 1, WeightDecay: 1, GradScale: 1}
		x.Run(env, nil)
		triad := triadRate(max(s.bytes/12, 1024))
		var took float64
		for b.Loop() {
			took = float64(measure(func() { x.Run(env, nil) }).Nanoseconds())
		}
		rate := float64(s.bytes) / took
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(took/1e3, "µs")
		b.ReportMetric(rate, "GB/s")
		b.ReportMetric(triad, "triadGB/s")
		b.ReportMetric(100*rate/triad, "%triad")
	})
}

// triadRate is the GB/s of a = b + 3·c with n elements each.
func triadRate(n int) float64 {
	f := make([]float32, 3*n+3*stagger)
	for i := range f {
		f[i] = 1
	}
	x, y, z := f[:n], f[n+stagger/4:], f[2*n+stagger/2:]
	again := 1 + 100_000/n
	took := measure(func() {
		for range again {
			triadLoop(&x[0], &y[0], &z[0], n)
		}
	})
	return 12 * float64(n*again) / float64(took.Nanoseconds())
}

func BenchmarkNorm(b *testing.B) {
	for _, s := range [][]int{{4, 32, 32, 16}, {128, 32, 32, 16}, {128, 16, 16, 32}, {128, 8, 8, 64}, {128, 8, 8, 17}, {32, 7, 7, 2048}} {
		c, n := s[3], f32("", s...).Bytes()
		vec := func(name string) *kernels.Tensor { return f32(name, c) }
		y, res := f32("y", s...), f32("res", s...)
		fwd := &kernels.BatchNorm{X: f32("x", s...), Gamma: vec("gamma"), Beta: vec("beta"), Y: y, Mean: vec("mean"), Var: vec("var"), InvStd: vec("inv"), ReLU: true, Eps: 1e-5}
		streamed{fmt.Sprintf("forward/%v", s), fwd, 3 * n}.bench(b)
		with := *fwd
		with.Residual = res
		streamed{fmt.Sprintf("forwardResidual/%v", s), &with, 4 * n}.bench(b)
		bwd := &kernels.BatchNormGrad{X: fwd.X, Y: y, DY: f32("dy", s...), Gamma: fwd.Gamma, Mean: fwd.Mean, InvStd: fwd.InvStd,
			DX: f32("dx", s...), DGamma: vec("dgamma"), DBeta: vec("dbeta"), ReLU: true}
		streamed{fmt.Sprintf("backward/%v", s), bwd, 7 * n}.bench(b)
		joined := *bwd
		joined.DResidual = res
		streamed{fmt.Sprintf("backwardResidual/%v", s), &joined, 7 * n}.bench(b)
	}
	for _, s := range [][]int{{32, 128, 128}, {8, 64, 512}} {
		c, rows, n := s[2], s[0]*s[1], f32("", s...).Bytes()
		o := &kernels.LayerNorm{X: f32("x", s...), Gamma: f32("gamma", c), Beta: f32("beta", c), Y: f32("y", s...), Mean: f32("mean", rows), InvStd: f32("inv", rows), Eps: 1e-5}
		streamed{fmt.Sprintf("layer/%v", s), o, 2 * n}.bench(b)
		g := &kernels.LayerNormGrad{X: o.X, DY: o.Y, Gamma: o.Gamma, Mean: o.Mean, InvStd: o.InvStd, DX: f32("dx", s...), DGamma: f32("dgamma", c), DBeta: f32("dbeta", c), Acc: true}
		streamed{fmt.Sprintf("layerGrad/%v", s), g, 4 * n}.bench(b)
	}
}

func BenchmarkPoint(b *testing.B) {
	for _, n := range []int{8 << 10, 4 << 20} {
		s := []int{16, n / 16}
		x, y, z := f32("x", s...), f32("y", s...), f32("z", s...)
		streamed{fmt.Sprintf("add/%d", n), &kernels.Binary{A: x, B: z, Y: y}, 12 * n}.bench(b)
		streamed{fmt.Sprintf("addAcc/%d", n), &kernels.Binary{A: x, B: z, Y: y, Acc: true}, 16 * n}.bench(b)
		streamed{fmt.Sprintf("axpby/%d", n), &kernels.Axpby{X: x, Y: y, Alpha: 0.1, Beta: 0.9}, 12 * n}.bench(b)
		streamed{fmt.Sprintf("relu/%d", n), &kernels.Unary{X: x, Y: y, Fn: kernels.ReLU}, 8 * n}.bench(b)
		streamed{fmt.Sprintf("gelu/%d", n), &kernels.Unary{X: x, Y: y, Fn: kernels.GELU}, 8 * n}.bench(b)
		streamed{fmt.Sprintf("geluGradAcc/%d", n), &kernels.UnaryGrad{X: x, DY: z, DX: y, Fn: kernels.GELU, Acc: true}, 16 * n}.bench(b)
		streamed{fmt.Sprintf("dropout/%d", n), &kernels.Dropout{X: x, Y: y, P: 0.1}, 8 * n}.bench(b)
	}
	x := f32("x", 128, 8, 8, 64)
	streamed{"globalPool", &kernels.GlobalPool{X: x, Y: f32("y", 128, 64)}, x.Bytes()}.bench(b)
	streamed{"globalPoolGrad", &kernels.GlobalPoolGrad{DX: x, DY: f32("y", 128, 64)}, x.Bytes()}.bench(b)
	in, out := f32("x", 128, 32, 32, 16), f32("y", 128, 16, 16, 32)
	m := padded(16, 32)
	streamed{"channelMap", &kernels.ChannelMap{X: in, Y: out, Stride: 2, Map: m}, out.Bytes() * 3 / 2}.bench(b)
	streamed{"channelMapGrad", &kernels.ChannelMapGrad{DY: out, DX: in, Stride: 2, Map: m, Acc: true}, out.Bytes() * 3 / 2}.bench(b)
	stem, pooled, where := f32("x", 8, 112, 112, 64), f32("y", 8, 56, 56, 64), u8("where", 8, 56, 56, 64)
	streamed{"maxPool3", &kernels.Pool{X: stem, Y: pooled, Where: where, Max: true, Window: 3, Stride: 2, Pad: 1}, stem.Bytes() + pooled.Bytes()*5/4}.bench(b)
	streamed{"maxPool3Grad", &kernels.PoolGrad{DX: stem, DY: pooled, Where: where, Max: true, Window: 3, Stride: 2, Pad: 1}, stem.Bytes() + pooled.Bytes()*5/4}.bench(b)
	table, index := f32("table", 10000, 200), i32("index", 20, 35)
	emb := f32("y", 20, 35, 200)
	streamed{"gather", &kernels.Gather{Table: table, Index: index, Y: emb}, 2 * emb.Bytes()}.bench(b)
	streamed{"gatherGrad", &kernels.GatherGrad{DTable: table, Index: index, DY: emb}, table.Bytes() + 3*emb.Bytes()}.bench(b)
	streamed{"transpose", &kernels.Transpose{X: f32("x", 32, 128, 512), Y: f32("y", 32, 512, 128), Perm: []int{0, 2, 1}}, 8 * 32 * 128 * 512}.bench(b)
	streamed{"slab", &kernels.Slab{X: f32("x", 4096, 384), Y: f32("y", 4096, 128), Axis: 1, From: 128, Len: 128}, 8 * 4096 * 128}.bench(b)
}

func BenchmarkLoss(b *testing.B) {
	for _, s := range [][2]int{{128, 10}, {700, 10000}, {4096, 65}} {
		z := f32("z", s[0], s[1])
		o := &kernels.SoftmaxXent{Logits: z, Target: i32("target", s[0]), Loss: f32("loss", s[0]), Hit: f32("hit", s[0]), DLogits: f32("dz", s[0], s[1])}
		streamed{fmt.Sprintf("xent/%v", s), o, 2 * z.Bytes()}.bench(b)
	}
	x, y, dx := f32("x", 4096, 128), f32("y", 4096, 128), f32("dx", 4096, 128)
	streamed{"softmax", &kernels.Softmax{X: x, Y: y}, 2 * x.Bytes()}.bench(b)
	streamed{"softmaxGrad", &kernels.SoftmaxGrad{Y: y, DY: x, DX: dx}, 3 * x.Bytes()}.bench(b)
}

func BenchmarkOptim(b *testing.B) {
	for _, c := range []optimCase{
		{"small", kernels.Blocks{Rows: 9 * 64, Cols: 64, N: 1}},
		{"smallBlocks", kernels.Blocks{Rows: 9 * 64, Cols: 64, ColBlock: make([]int32, 64), N: 2}},
		{"large", kernels.Blocks{Rows: 4096, Cols: 1024, N: 1}},
		{"largeBlocks", kernels.Blocks{Rows: 4096, Cols: 1024, ColBlock: make([]int32, 1024), N: 2}},
	} {
		n := c.blocks.Rows * c.blocks.Cols
		of := func(name string) *kernels.Tensor { return f32(name, c.blocks.N) }
		w, g, m, v := f32("w", n), f32("g", n), f32("m", n), f32("v", n)
		streamed{"sgd/" + c.name, &kernels.SGD{W: w, G: g, M: m, Momentum: 0.9, Blocks: c.blocks, Rates: of("r"), FirstBlock: of("f")}, 20 * n}.bench(b)
		streamed{"adam/" + c.name, &kernels.Adam{W: w, G: g, M: m, V: v, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Blocks: c.blocks, Rates: of("r"), Corr1: of("c"), Corr2: of("d")}, 28 * n}.bench(b)
		a := kernels.AvaGrad{W: w, G: g, M: m, V: v, Beta1: 0.9, Beta2: 0.999, Eps: 0.1, Blocks: c.blocks, Rates: of("r"), Corr1: of("c"), Corr2: of("d"), Gamma: f32("n", 1)}
		streamed{"avagrad/" + c.name, &a, 28 * n}.bench(b)
		fused := a
		fused.Next, fused.Squares = of("x"), f32("s", c.blocks.N, 2)
		streamed{"avagradFused/" + c.name, &fused, 28 * n}.bench(b)
		streamed{"rateSquares/" + c.name, &kernels.RateSquares{V: v, Corr: of("c"), Eps: 0.1, Blocks: c.blocks, Out: f32("o", c.blocks.N, 2)}, 4 * n}.bench(b)
		streamed{"adabound/" + c.name, &kernels.AdaBound{W: w, G: g, M: m, V: v, Beta2: 0.999, Eps: 1e-8, Blocks: c.blocks, Rates: of("r"),
			Beta1: of("b"), Scale: of("s"), Lower: of("l"), Upper: of("u")}, 28 * n}.bench(b)
		streamed{"squares/" + c.name, &kernels.BlockSquares{W: w, Blocks: c.blocks, Out: of("o")}, 4 * n}.bench(b)
	}
}
