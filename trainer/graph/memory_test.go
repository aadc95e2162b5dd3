package graph

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// A tensor lives from the group that makes it to the last that reads it, and
// shares memory with one that lives later.
func TestArenaReusesDeadTensors(t *testing.T) {
	var ts []*kernels.Tensor
	for range 4 {
		ts = append(ts, kernels.New("t", kernels.F32, 1000))
	}
	var ops []kernels.Op
	var spans []kernels.Span
	for i := range 3 {
		ops = append(ops, &kernels.Unary{X: ts[i], Y: ts[i+1].View(0, 1000)})
		spans = append(spans, kernels.Span{First: i, Last: i})
	}
	lives, size := planArena(ops, spans)
	if len(lives) != 4 || lives[0].block.Off != lives[2].block.Off || lives[1].block.Off != lives[3].block.Off ||
		lives[0].block.Off == lives[1].block.Off {
		t.Errorf("offsets %+v", lives)
	}
	if size >= 3*4000 {
		t.Errorf("%d bytes for two tensors alive at once", size)
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
