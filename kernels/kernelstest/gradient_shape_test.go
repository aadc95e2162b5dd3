package kernelstest

import "github.com/espalier-ml/espalier/kernels"

// linear is the gradient of an op y = f(x) without other inputs.
func linear(name string, y pair, x, dx *kernels.Tensor, acc bool, forward, backward kernels.Op) gradient {
	return gradient{name: name, forward: []kernels.Op{forward}, backward: []kernels.Op{backward},
		outputs: []pair{y}, inputs: []pair{{x, dx}}, acc: acc, step: straight, scale: 1}
}

func gradDropout(m *Memory, acc bool) gradient {
	m.enter("dropout")
	x, y := m.Random("x", 7, 9), m.upstream(m.Out("y", 7, 9))
	dx := m.like(x, acc)
	return linear("dropout", y, x, dx, acc, &kernels.Dropout{X: x, Y: y.x, P: 0.4, ID: 5}, &kernels.Dropout{X: y.dx, Y: dx, P: 0.4, ID: 5, Acc: acc})
}

func gradTranspose(m *Memory, acc bool) gradient {
	m.enter("transpose")
	x, y := m.Random("x", 2, 3, 4), m.upstream(m.Out("y", 4, 2, 3))
	dx := m.like(x, acc)
	return linear("transpose", y, x, dx, acc, &kernels.Transpose{X: x, Y: y.x, Perm: []int{2, 0, 1}}, &kernels.Transpose{X: y.dx, Y: dx, Perm: []int{1, 2, 0}, Acc: acc})
}

// gradSlab: a slice's gradient is a slab the other way, onto zeros.
func gradSlab(m *Memory, acc bool) gradient {
	m.enter("slab")
	x, y := m.Random("x", 3, 7, 2), m.upstream(m.Out("y", 3, 4, 2))
	dx := m.Fill("dx", func(int) float32 { return 0 }, 3, 7, 2)
	if acc {
		dx = m.Random("dx", 3, 7, 2)
	}
	return linear("slab", y, x, dx, acc, &kernels.Slab{X: x, Y: y.x, Axis: 1, From: 2, Len: 4}, &kernels.Slab{X: y.dx, Y: dx, Axis: 1, To: 2, Len: 4, Acc: acc})
}

func gradGather(m *Memory, acc bool) gradient {
	m.enter("gather")
	table, index := m.Random("table", 6, 3), m.Index("index", 0, 6, 2, 5)
	y := m.upstream(m.Out("y", 2, 5, 3))
	d := m.like(table, acc)
	return linear("gather", y, table, d, acc, &kernels.Gather{Table: table, Index: index, Y: y.x}, &kernels.GatherGrad{DY: y.dx, Index: index, DTable: d, Acc: acc})
}

// gradPool spaces the inputs by more than the probes, so that no maximum
// changes place.
func gradPool(maximum bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("pool")
		const n = 2 * 5 * 6 * 3
		x := m.Fill("x", func(i int) float32 { return float32(i * 77 % n) }, 2, 5, 6, 3) // 77 and n share no factor
		y := m.upstream(m.Out("y", 2, 3, 3, 3))
		dx := m.like(x, acc)
		f := &kernels.Pool{X: x, Y: y.x, Max: maximum, Window: 3, Stride: 2, Pad: 1}
		b := &kernels.PoolGrad{DY: y.dx, DX: dx, Max: maximum, Window: 3, Stride: 2, Pad: 1, Acc: acc}
		if maximum {
			f.Where = m.Bytes("where", 2, 3, 3, 3)
			b.Where = f.Where
		}
		g := linear("pool"+flags("max", maximum), y, x, dx, acc, f, b)
		g.step = 0.25
		return g
	}
}

func gradGlobalPool(m *Memory, acc bool) gradient {
	m.enter("globalpool")
	x, y := m.Random("x", 2, 3, 4, 5), m.upstream(m.Out("y", 2, 5))
	dx := m.like(x, acc)
	return linear("globalpool", y, x, dx, acc, &kernels.GlobalPool{X: x, Y: y.x}, &kernels.GlobalPoolGrad{DY: y.dx, DX: dx, Acc: acc})
}

// gradReduce also covers Expand, its gradient.
func gradReduce(mean bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("reduce")
		x, y := m.Random("x", 2, 3, 4), m.upstream(m.Out("y", 2, 4))
		dx := m.like(x, acc)
		alpha := float32(1)
		if mean {
			alpha = 1. / 3
		}
		return linear("reduce"+flags("mean", mean), y, x, dx, acc, &kernels.Reduce{X: x, Y: y.x, Axis: 1, Mean: mean}, &kernels.Expand{X: y.dx, Y: dx, Axis: 1, Alpha: alpha, Acc: acc})
	}
}

func gradChannelMap(m *Memory, acc bool) gradient {
	m.enter("channelmap")
	to := []int32{-1, 2, 0, -1}
	x, y := m.Random("x", 2, 5, 4, 3), m.upstream(m.Out("y", 2, 3, 2, 4))
	dx := m.like(x, acc)
	return linear("channelmap", y, x, dx, acc, &kernels.ChannelMap{X: x, Y: y.x, Stride: 2, Map: to}, &kernels.ChannelMapGrad{DY: y.dx, DX: dx, Stride: 2, Map: to, Acc: acc})
}

func gradAttention(causal bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("attention")
		f := attention(m, 2, 4, 2, 3, causal)
		y := m.upstream(f.O)
		b := attentionGrad(m, f)
		b.DO = y.dx
		return gradient{name: "attention" + flags("causal", causal), forward: []kernels.Op{f}, backward: []kernels.Op{b},
			outputs: []pair{y}, inputs: []pair{{f.QKV, b.DQKV}}, step: curved, scale: 1}
	}
}

func gradLSTM(m *Memory, acc bool) gradient {
	m.enter("lstm")
	f := lstm(m, 2, 4, 3)
	y := m.upstream(f.H)
	b := lstmGrad(m, f, acc)
	b.DH = y.dx
	g := gradient{name: "lstm", forward: []kernels.Op{f}, backward: []kernels.Op{b}, outputs: []pair{y},
		inputs: []pair{{f.X, b.DX}, {f.W, b.DW}}, step: curved, scale: 1}
	if acc {
		g.inputs, g.acc = []pair{{f.W, b.DW}}, true
	}
	return g
}
