package cpu

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// pointShapes meet every loop: wide, single vectors, tail; batch and private.
var pointShapes = [][]int{{1}, {7}, {8, 5, 3}, {33, 129}, {3, 2, 50}, {5000}, {16, 4096}}

func TestPointwise(t *testing.T) {
	var trials []trial
	for _, s := range pointShapes {
		x, y, z := f32("x", s...), f32("y", s...), f32("z", s...)
		add := func(format string, op kernels.Op, args ...any) {
			trials = append(trials, trial{name: fmt.Sprintf("%v,", s) + fmt.Sprintf(format, args...), op: op})
		}
		for _, acc := range []bool{false, true} {
			for fn := kernels.Add; fn <= kernels.Mul; fn++ {
				add("%v,acc=%v", &kernels.Binary{A: x, B: z, Y: y, Fn: fn, Acc: acc}, fn, acc)
				if len(s) > 1 {
					b := f32("b", s[1:]...)
					add("%v broadcast,acc=%v", &kernels.Binary{A: x, B: b, Y: y, Fn: fn, Acc: acc}, fn, acc)
				}
			}
			for fn := kernels.NoAct; fn <= kernels.Sigmoid; fn++ {
				add("gradient %v,acc=%v", &kernels.UnaryGrad{X: x, DY: z, DX: y, Fn: fn, Acc: acc}, fn, acc)
			}
			for _, p := range []float32{0, 0.1, 0.5} {
				add("dropout %v,acc=%v", &kernels.Dropout{X: x, Y: y, P: p, ID: 77, Acc: acc}, p, acc)
			}
		}
		for fn := kernels.NoAct; fn <= kernels.Sigmoid; fn++ {
			add("%v", &kernels.Unary{X: x, Y: y, Fn: fn}, fn)
		}
		for _, ab := range [][2]float32{{1, 0}, {-0.3, 0}, {2, 1}, {0.1, 0.9}} {
			add("axpby %v", &kernels.Axpby{X: x, Y: y, Alpha: ab[0], Beta: ab[1]}, ab)
		}
		add("fill", &kernels.Fill{Y: y, Value: 2.5})
	}
	runTrials(t, trials)
}

func TestGather(t *testing.T) {
	var trials []trial
	for _, c := range []struct {
		v, d  int
		index []int
	}{{11, 3, []int{40}}, {65, 64, []int{8, 33}}, {700, 200, []int{300}}, {1, 1, []int{2, 2}}} {
		table, index := f32("table", c.v, c.d), i32("index", c.index...)
		y := f32("y", append(c.index, c.d)...)
		ints := map[*kernels.Tensor]func(int) int32{index: func(i int) int32 { return int32(i*i*7%(c.v+2)) - 1 }} // some outside
		name := fmt.Sprintf("%dx%d,%v", c.v, c.d, c.index)
		trials = append(trials, trial{name: name, op: &kernels.Gather{Table: table, Index: index, Y: y}, ints: ints})
		for _, acc := range []bool{false, true} {
			trials = append(trials, trial{name: fmt.Sprintf("gradient,%s,acc=%v", name, acc),
				op: &kernels.GatherGrad{DY: y, Index: index, DTable: table, Acc: acc}, ints: ints})
		}
	}
	runTrials(t, trials)
}

func TestPooling(t *testing.T) {
	var trials []trial
	for _, g := range []struct{ n, h, w, c, window, stride, pad int }{
		{5, 8, 8, 16, 2, 2, 0}, {4, 9, 7, 64, 3, 2, 1}, {2, 5, 6, 3, 3, 1, 1}, {1, 4, 4, 13, 4, 4, 0}, {3, 7, 7, 9, 2, 3, 1}, {2, 3, 3, 1, 3, 3, 2},
	} {
		conv := kernels.Conv{Stride: g.stride, Pad: g.pad}
		x := f32("x", g.n, g.h, g.w, g.c)
		out := []int{g.n, conv.Out(g.h, g.window), conv.Out(g.w, g.window), g.c}
		y, where := f32("y", out...), u8("where", out...)
		for _, most := range []bool{true, false} {
			o := &kernels.Pool{X: x, Y: y, Max: most, Window: g.window, Stride: g.stride, Pad: g.pad}
			name := fmt.Sprintf("%v,max=%v", g, most)
			trials = append(trials, trial{name: name, op: o})
			var ints map[*kernels.Tensor]func(int) int32
			if most {
				with := *o
				with.Where = where
				trials = append(trials, trial{name: name + ",where", op: &with})
				ints = map[*kernels.Tensor]func(int) int32{where: func(i int) int32 { return int32(i * 5 % (g.window * g.window)) }}
			}
			for _, acc := range []bool{false, true} {
				d := &kernels.PoolGrad{DY: y, DX: x, Max: most, Window: g.window, Stride: g.stride, Pad: g.pad, Acc: acc}
				if most {
					d.Where = where
				}
				trials = append(trials, trial{name: fmt.Sprintf("gradient,%s,acc=%v", name, acc), op: d, ints: ints})
			}
		}
	}
	runTrials(t, trials)
}

func TestGlobalPoolAndChannelMap(t *testing.T) {
	var trials []trial
	for _, s := range [][]int{{8, 8, 8, 64}, {5, 3, 5, 7}, {1, 2, 2, 1}, {2, 9, 9, 100}} {
		n, h, w, c := s[0], s[1], s[2], s[3]
		x, pooled := f32("x", s...), f32("pooled", n, c)
		trials = append(trials, trial{name: fmt.Sprintf("pool %v", s), op: &kernels.GlobalPool{X: x, Y: pooled}})
		for _, acc := range []bool{false, true} {
			trials = append(trials, trial{name: fmt.Sprintf("pool gradient %v,acc=%v", s, acc), op: &kernels.GlobalPoolGrad{DY: pooled, DX: x, Acc: acc}})
		}
		for name, m := range map[string][]int32{"padded": padded(c, 2*c), "reversed": reversed(c), "same": padded(c, c)} {
			for stride := 1; stride <= 2; stride++ {
				y := f32("y", n, (h+stride-1)/stride, (w+stride-1)/stride, len(m))
				name := fmt.Sprintf("%s %v,stride=%d", name, s, stride)
				trials = append(trials, trial{name: name, op: &kernels.ChannelMap{X: x, Y: y, Stride: stride, Map: m}})
				for _, acc := range []bool{false, true} {
					trials = append(trials, trial{name: fmt.Sprintf("gradient %s,acc=%v", name, acc),
						op: &kernels.ChannelMapGrad{DY: y, DX: x, Stride: stride, Map: m, Acc: acc}})
				}
			}
		}
	}
	runTrials(t, trials)
}

// padded maps c channels to the middle of k.
func padded(c, k int) []int32 {
	m := make([]int32, k)
	for i := range m {
		if m[i] = int32(i - (k-c)/2); int(m[i]) >= c {
			m[i] = -1
		}
		m[i] = max(m[i], -1)
	}
	return m
}

func reversed(c int) []int32 {
	m := make([]int32, c)
	for i := range m {
		m[i] = int32(c - 1 - i)
	}
	return m
}

func TestShapes(t *testing.T) {
	var trials []trial
	for _, acc := range []bool{false, true} {
		for _, c := range []struct{ x, perm []int }{
			{[]int{17, 23}, []int{1, 0}}, {[]int{5, 16, 24}, []int{0, 2, 1}}, {[]int{4, 3, 9, 8}, []int{0, 2, 1, 3}},
			{[]int{2, 3, 4, 5}, []int{3, 1, 0, 2}}, {[]int{9}, []int{0}}, {[]int{130, 70}, []int{1, 0}},
		} {
			y := make([]int, len(c.x))
			for i, p := range c.perm {
				y[i] = c.x[p]
			}
			trials = append(trials, trial{name: fmt.Sprintf("transpose %v %v,acc=%v", c.x, c.perm, acc),
				op: &kernels.Transpose{X: f32("x", c.x...), Y: f32("y", y...), Perm: c.perm, Acc: acc}})
		}
		for _, c := range []struct {
			x, y               []int
			axis, from, to, ln int
		}{
			{[]int{7, 5}, []int{9, 5}, 0, 2, 3, 4}, {[]int{6, 5, 3}, []int{6, 2, 3}, 1, 3, 0, 2},
			{[]int{33, 10}, []int{33, 30}, 1, 0, 20, 10}, {[]int{2, 3, 40}, []int{2, 3, 17}, 2, 21, 0, 17}, {[]int{50}, []int{20}, 0, 5, 1, 19},
		} {
			trials = append(trials, trial{name: fmt.Sprintf("slab %v %v,acc=%v", c.x, c.y, acc),
				op: &kernels.Slab{X: f32("x", c.x...), Y: f32("y", c.y...), Axis: c.axis, From: c.from, To: c.to, Len: c.ln, Acc: acc}})
		}
	}
	for _, s := range [][]int{{6, 10, 12}, {40, 3}, {300}, {5, 1, 4}, {70, 500}, {2, 9000}} {
		for axis := range s {
			rest := append(append([]int{}, s[:axis]...), s[axis+1:]...)
			if len(rest) == 0 {
				rest = []int{1}
			}
			x, y := f32("x", s...), f32("y", rest...)
			for _, on := range []bool{false, true} {
				trials = append(trials,
					trial{name: fmt.Sprintf("reduce %v,axis=%d,mean=%v", s, axis, on), op: &kernels.Reduce{X: x, Y: y, Axis: axis, Mean: on}},
					trial{name: fmt.Sprintf("expand %v,axis=%d,acc=%v", s, axis, on), op: &kernels.Expand{X: y, Y: x, Axis: axis, Alpha: -0.7, Acc: on}})
			}
		}
	}
	runTrials(t, trials)
}

// An operand that is read as a whole may come from a stage over equally many
// images: the two must not run interleaved.
func TestWholeOperands(t *testing.T) {
	made := func(shape ...int) (*kernels.Tensor, kernels.Op) {
		x, y := f32("made from", shape...), f32("made", shape...)
		return y, &kernels.Axpby{X: x, Y: y, Alpha: 2}
	}
	var trials []trial
	add := func(name string, prev, op kernels.Op) {
		trials = append(trials, trial{name: name, prev: prev, op: op, tol: 1e-4,
			ints: map[*kernels.Tensor]func(int) int32{}})
	}
	small, toSmall := made(8, 16)
	add("binary, small", toSmall, &kernels.Binary{A: f32("a", 8, 8, 16), B: small, Y: f32("y", 8, 8, 16)})
	large, toLarge := made(8, 640)
	add("binary, large", toLarge, &kernels.Binary{A: f32("a", 8, 8, 640), B: large, Y: f32("y", 8, 8, 640)})
	add("expand", toSmall, &kernels.Expand{X: small, Y: f32("y", 8, 8, 16), Alpha: 1})
	add("reduce", toSmall, &kernels.Reduce{X: small, Y: f32("y", 16), Axis: 0})
	index := i32("index", 8, 3)
	add("gather", toSmall, &kernels.Gather{Table: small, Index: index, Y: f32("y", 8, 3, 16)})
	trials[len(trials)-1].ints[index] = func(i int) int32 { return int32(7 - i%8) }
	gamma, toGamma := made(8, 1)
	add("layer norm", toGamma, &kernels.LayerNorm{X: f32("x", 8, 4, 8), Gamma: gamma.View(0, 8), Beta: f32("beta", 8),
		Y: f32("y", 8, 4, 8), Mean: f32("mean", 32), InvStd: f32("inv", 32), Eps: 1e-5})
	runTrials(t, trials)
}
