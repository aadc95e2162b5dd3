package graph

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// Random chains of ops: tensors that live in a common group never overlap,
// and the arena stays near the peak of what lives at once.
func TestArenaKeepsLiveTensorsApart(t *testing.T) {
	for seed := range uint64(50) {
		key := philox.NewKey(seed, "arena")
		draw := func(i, n int) int { return philox.Below(key.Index(uint64(i))[0], n) }
		var ts []*kernels.Tensor
		var ops []kernels.Op
		var spans []kernels.Span
		for i := range 60 {
			y := kernels.New("t", kernels.F32, 1+draw(3*i, 9000))
			x := y
			if len(ts) > 0 {
				x = ts[draw(3*i+1, len(ts))]
			}
			ts = append(ts, y)
			ops = append(ops, &kernels.Binary{A: x, B: x, Y: y})
			spans = append(spans, kernels.Span{First: i / 2, Last: i/2 + draw(3*i+2, 3)})
		}
		blocks, size := planArena(ops, spans)
		if len(blocks) != len(ts) {
			t.Fatalf("seed %d: %d blocks for %d tensors", seed, len(blocks), len(ts))
		}
		peak := 0
		for group := range 40 {
			live := 0
			for i, a := range blocks {
				if a.first > group || a.last < group {
					continue
				}
				live += a.bytes
				if a.off%align != 0 || a.off+a.bytes > size {
					t.Fatalf("seed %d: block at %d+%d of %d", seed, a.off, a.bytes, size)
				}
				for _, b := range blocks[:i] {
					if b.first <= group && b.last >= group && a.off < b.off+b.bytes && b.off < a.off+a.bytes {
						t.Fatalf("seed %d group %d: [%d,%d) and [%d,%d) overlap", seed, group, a.off, a.off+a.bytes, b.off, b.off+b.bytes)
					}
				}
			}
			peak = max(peak, live)
		}
		if float64(size) > 1.5*float64(peak) {
			t.Errorf("seed %d: arena of %d bytes for a peak of %d", seed, size, peak)
		}
	}
}

func TestChannelMapFollowsStages(t *testing.T) {
	from := &Dim{Name: "a", Full: 8, Bounds: []int{2, 4, 4}}
	to := &Dim{Name: "b", Full: 16, Bounds: []int{4, 8, 10}}
	want := []int32{0, 1, -1, -1, 2, 3, -1, -1, -1, -1}
	for i, v := range channelMap(from, to) {
		if v != want[i] {
			t.Fatalf("map %v, want %v", channelMap(from, to), want)
		}
	}
}

func TestBlocksOfAxesWithSeveralEntriesAUnit(t *testing.T) {
	d := &Dim{Name: "heads", Full: 4, Bounds: []int{1, 2}}
	qkv := Axis{Dim: d, Outer: 3, Inner: 2}
	p := &Param{ParamSpec: Weight(Fixed(3), qkv)}
	b := p.Blocks()
	want := []int32{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1}
	if b.Rows != 3 || b.Cols != 12 || b.N != 2 || b.RowBlock != nil {
		t.Fatalf("blocks %+v", b)
	}
	for i, v := range b.ColBlock {
		if v != want[i] {
			t.Fatalf("columns %v, want %v", b.ColBlock, want)
		}
	}
}

func TestWrongModelsAreErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		sizes Sizes
		build func(g *Graph)
	}{
		{"widths of other Dims do not add up", nil, func(g *Graph) {
			x := g.Input("x", kernels.F32, 2, 3)
			a := x.Linear(g.Param("a", Weight(Fixed(3), g.Dim("a", 4).Axis())), nil)
			b := x.Linear(g.Param("b", Weight(Fixed(3), g.Dim("b", 4).Axis())), nil)
			a.Add(b)
		}},
		{"a Dim of two sizes", nil, func(g *Graph) { g.Dim("d", 4); g.Dim("d", 5) }},
		{"a name twice", nil, func(g *Graph) {
			g.Param("p", Vector(Fixed(3), InitZero))
			g.Param("p", Vector(Fixed(3), InitZero))
		}},
		{"sizes of an unknown Dim", Sizes{"x": {3}}, func(g *Graph) { g.Dim("d", 4) }},
		{"falling sizes", Sizes{"d": {3, 2}}, func(g *Graph) { g.Dim("d", 4) }},
		{"a parameter that nothing uses", nil, func(g *Graph) {
			g.Param("lost", Vector(Fixed(3), InitZero))
			x := g.Input("x", kernels.F32, 2, 3)
			g.Loss(x.Linear(g.Param("w", Weight(Fixed(3), Fixed(2))), nil), g.Input("y", kernels.I32, 2), 0)
			g.Backward()
		}},
		{"shapes that do not fit", nil, func(g *Graph) {
			g.Input("x", kernels.F32, 2, 3).Linear(g.Param("w", Weight(Fixed(4), Fixed(2))), nil)
		}},
	} {
		if _, err := Trace(Config{Train: true, Sizes: c.sizes}, c.build); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

// The residual block's ops end up fused: no add and no ReLU of its own.
func TestResidualBlocksAreFused(t *testing.T) {
	g, err := Trace(Config{Train: true}, func(g *Graph) {
		d := g.Dim("d", 4)
		x := g.Input("x", kernels.F32, 2, 4, 4, 3).Conv(g.Param("c0", Kernel(3, Fixed(3), d.Axis())), kernels.Conv{Stride: 1, Pad: 1, Groups: 1}, nil)
		h := x.Conv(g.Param("c1", Kernel(3, d.Axis(), d.Axis())), kernels.Conv{Stride: 1, Pad: 1, Groups: 1}, nil)
		state := Vector(d.Axis(), InitZero)
		state.State = true
		h = h.BatchNorm(BatchNormParams{g.Param("g", Vector(d.Axis(), InitOne)), g.Param("b", Vector(d.Axis(), InitZero)),
			g.Param("m", state), g.Param("v", state), 1e-5}).Add(x).ReLU()
		g.Loss(h.GlobalPool().Linear(g.Param("w", Weight(d.Axis(), Fixed(3))), nil), g.Input("y", kernels.I32, 2), 0)
		g.Backward()
	})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, op := range g.ops[:g.forward] {
		switch o := op.(type) {
		case *kernels.Unary, *kernels.Binary:
			t.Errorf("%T is left in the forward pass", o)
		case *kernels.BatchNorm:
			found = o.ReLU && o.Residual != nil
		}
	}
	if !found {
		t.Error("no batch norm with residual and ReLU")
	}
}
