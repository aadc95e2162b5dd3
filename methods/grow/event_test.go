package grow

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// pair is a parameter before and after an event.
func pair(t testing.TB, spec func(in, out graph.Axis) graph.ParamSpec, before, after graph.Sizes) (old, now *graph.Param) {
	t.Helper()
	of := func(s graph.Sizes) *graph.Param {
		g, err := graph.Trace(graph.Config{Sizes: s}, func(g *graph.Graph) {
			g.Param("w", spec(g.Dim("in", 512).Axis(), g.Dim("out", 512).Axis()))
		})
		if err != nil {
			t.Fatal(err)
		}
		return g.Params()[0]
	}
	return of(before), of(after)
}

func step(in0, in1, out0, out1 int) (before, after graph.Sizes) {
	return graph.Sizes{"in": {in0}, "out": {out0}}, graph.Sizes{"in": {in0, in1}, "out": {out0, out1}}
}

// A worked example: W = [[1,2],[3,4]] with Z = (5,6)ᵀ and
// V = (7,8,9,10), written [out][in] there and [in][out] here.
func TestVector(t *testing.T) {
	before, after := step(2, 4, 2, 4)
	old, now := pair(t, graph.Weight, before, after)
	e := newEvent(&Config{VT: VTPaper, Init: InitPairs}, 1, 1, graph.New(graph.Config{}))
	to := make([]float32, 16)
	e.Fill(old, now, []float32{1, 3, 2, 4}, to)
	r := float32(math.Sqrt(0.5))
	want := [][]float32{{r, 2 * r, 5, -5}, {3 * r, 4 * r, 6, -6}, {7, 8, 9, 10}, {7, 8, 9, 10}}
	z := []float32{to[2*4], to[2*4+1]}
	v := []float32{to[2], to[4+2], to[2*4+2], to[3*4+2]}
	for o, row := range want {
		for i := range row {
			x := row[i]
			switch { // the drawn values in place of the vector's
			case o >= 2:
				x = v[i]
			case i >= 2:
				x = z[o] * []float32{1, -1}[i-2]
			}
			if got := to[i*4+o]; got != x {
				t.Errorf("entry (%d,%d) is %v, want %v", o, i, got, x)
			}
		}
	}
	if all := append(z, v...); len(slices.Compact(slices.Sorted(slices.Values(all)))) != 6 {
		t.Errorf("draws %v: want six different ones", all)
	}
}

func TestTableFactors(t *testing.T) {
	dim := &graph.Dim{Name: "d", Full: 8, Bounds: []int{2, 4, 8}}
	fixed := graph.Fixed(3)
	weight := func(in, out graph.Axis, edit func(*graph.ParamSpec)) *graph.Param {
		s := graph.Weight(in, out)
		edit(&s)
		return &graph.Param{ParamSpec: s}
	}
	plain := func(*graph.ParamSpec) {}
	for _, c := range []struct {
		name  string
		p     *graph.Param
		stage int
		want  float64
	}{
		{"input", weight(fixed, dim.Axis(), plain), 1, 1},
		{"hidden", weight(dim.Axis(), dim.Axis(), plain), 1, math.Sqrt(0.5)},
		{"hidden, next event", weight(dim.Axis(), dim.Axis(), plain), 2, math.Sqrt(0.5)},
		{"output", weight(dim.Axis(), fixed, func(s *graph.ParamSpec) { s.Init = graph.InitOut }), 1, 0.5},
		{"end of a branch", weight(dim.Axis(), fixed, func(s *graph.ParamSpec) { s.Branch = true }), 1, 1},
		{"depthwise", &graph.Param{ParamSpec: graph.Depthwise(3, dim.Axis())}, 1, 1},
		{"bias", &graph.Param{ParamSpec: graph.Vector(dim.Axis(), graph.InitZero)}, 1, 1},
		{"attention output", weight(graph.Axis{Dim: dim, Outer: 1, Inner: 32}, fixed, plain), 1, math.Sqrt(0.5)},
	} {
		if got := tableFactor(c.p, c.stage); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: factor %v, want %v", c.name, got, c.want)
		}
	}
}

// Invariant 6: new entries have the mean and variance of table 1.
func TestVarianceOfNewEntries(t *testing.T) {
	out := func(in, out graph.Axis) graph.ParamSpec {
		s := graph.Weight(in, out)
		s.Init = graph.InitOut
		return s
	}
	for _, c := range []struct {
		name string
		spec func(in, out graph.Axis) graph.ParamSpec
		want float64 // variance at 160 inputs
	}{
		{"hidden", graph.Weight, 1.0 / 160},
		{"hidden convolution, He gain", func(in, out graph.Axis) graph.ParamSpec {
			s := graph.Kernel(3, in, out)
			s.Gain = math.Sqrt2
			return s
		}, 2.0 / (9 * 160)},
		{"output", out, 1.0 / (160 * 160)},
		{"embedding", func(_, out graph.Axis) graph.ParamSpec {
			s := graph.Weight(graph.Fixed(90), out)
			s.Init, s.Gain = graph.InitStd, 0.1
			return s
		}, 0.01},
		{"depthwise", func(_, out graph.Axis) graph.ParamSpec { return graph.Depthwise(9, out) }, 1.0 / 81},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := step(96, 160, 80, 144)
			old, now := pair(t, c.spec, before, after)
			to := make([]float32, now.W.Len())
			cfg := mode(VTPaper)
			newEvent(&cfg, 11, 1, graph.New(graph.Config{})).Fill(old, now, make([]float32, old.W.Len()), to)
			check := func(block string, v []float32) {
				if len(v) == 0 {
					return
				}
				var sum, squares float64
				for _, x := range v {
					sum += float64(x)
					squares += float64(x) * float64(x)
				}
				n := float64(len(v))
				mean, variance := sum/n, squares/n
				if math.Abs(mean) > 3*math.Sqrt(c.want/n) {
					t.Errorf("%s: mean %v of %v entries", block, mean, n)
				}
				if math.Abs(variance-c.want) > 3*c.want*math.Sqrt(2/n) {
					t.Errorf("%s: variance %v of %v entries, want %v", block, variance, n, c.want)
				}
			}
			var v, z []float32 // one of each pair
			walk(old, now, func(at *place) {
				switch {
				case at.newOut && at.out.sign > 0:
					v = append(v, to[at.index])
				case !at.newOut && at.newIn && at.in.sign > 0:
					z = append(z, to[at.index])
				}
			})
			check("V", v)
			check("Z", z)
			if len(v)+len(z) == 0 {
				t.Error("nothing is new")
			}
			checkPairs(t, old, now, to, make([]float32, len(to)), 0)
		})
	}
}

// Values depend on seed, stage, name and logical place alone: an entry has
// the same standard normal number whatever the sizes around it are, and other
// seeds, stages and blocks have other numbers.
func TestDrawsDependOnPlaceAlone(t *testing.T) {
	cfg := mode(VTNone)
	cfg.Init = InitRandom
	draw := func(seed uint64, stage int, gates, in1, out1 int) (*graph.Param, []float32) {
		before, after := step(4, in1, 6, out1)
		old, now := pair(t, func(in, out graph.Axis) graph.ParamSpec {
			out.Outer = gates
			s := graph.Weight(in, out)
			s.Init = graph.InitStd
			return s
		}, before, after)
		to := make([]float32, now.W.Len())
		newEvent(&cfg, seed, stage, graph.New(graph.Config{})).Fill(old, now, make([]float32, old.W.Len()), to)
		return now, to
	}
	at := func(p *graph.Param, v []float32, in, gate, unit int) float32 {
		a := p.Axes[1]
		return v[in*a.Size()+gate*a.Dim.Size()+unit]
	}
	p, a := draw(1, 1, 4, 8, 10)
	q, b := draw(1, 1, 4, 6, 12)
	for _, e := range [][3]int{{0, 0, 7}, {5, 2, 9}, {2, 3, 6}, {5, 1, 2}} {
		if x, y := at(p, a, e[0], e[1], e[2]), at(q, b, e[0], e[1], e[2]); x != y || x == 0 {
			t.Errorf("entry %v is %v in one layout and %v in another", e, x, y)
		}
	}
	_, c := draw(2, 1, 4, 8, 10)
	_, d := draw(1, 2, 4, 8, 10)
	for i := range a {
		if a[i] != 0 && (a[i] == c[i] || a[i] == d[i] || c[i] == d[i]) {
			t.Fatalf("entry %d: %v, %v, %v under other seeds and stages", i, a[i], c[i], d[i])
		}
	}
}

// Invariant 7: an untrained network that went through all stages with
// variance transfer, its pairs parted, has the pre-activations of a fresh
// network of the full width.
func TestGrownNetworkIsScaledLikeAFreshOne(t *testing.T) {
	const seeds = 24 // a single network's variance is a rough estimate
	spec := models.Spec{Name: "mlp", Height: 8, Width: 8, Channels: 1, Classes: 64, Hidden: []int{128, 128}}
	cfg := mode(VTPaper)
	cfg.Init = InitRandom // pairs that have parted: independent values of the same variance
	g := trace(t, spec, graph.Config{}, 1)
	p, err := NewPlan(cfg, g.Dims(), 1000, 100, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, want := make([]float64, 3), make([]float64, 3)
	for seed := range uint64(seeds) {
		for l, v := range preactivations(g, grown(t, spec, p, seed)) {
			got[l] += v / seeds
		}
		for l, v := range preactivations(g, initial(g, seed+1000)) {
			want[l] += v / seeds
		}
	}
	for l := range got {
		if math.Abs(got[l]/want[l]-1) > 0.1 {
			t.Errorf("layer %d: variance %.4g, a fresh network has %.4g", l+1, got[l], want[l])
		}
	}
}

func initial(g *graph.Graph, seed uint64) map[string][]float32 {
	values := map[string][]float32{}
	for _, q := range g.Params() {
		values[q.Name] = make([]float32, q.W.Len())
		q.Initial(seed, values[q.Name])
	}
	return values
}

// grown are the values of an untrained network after all stages of a plan.
func grown(t testing.TB, spec models.Spec, p *Plan, seed uint64) map[string][]float32 {
	old := trace(t, spec, graph.Config{Sizes: p.Initial()}, 1)
	values := initial(old, seed)
	for stage := 1; stage < len(p.Stages); stage++ {
		now := trace(t, spec, graph.Config{Sizes: p.Sizes(stage)}, 1)
		e := newEvent(&p.Config, seed, stage, old)
		for i, q := range now.Params() {
			to := make([]float32, q.W.Len())
			e.Fill(old.Params()[i], q, values[q.Name], to)
			values[q.Name] = to
		}
		old = now
	}
	return values
}

// preactivations are the variances of the outputs of every linear map of an
// mlp on normal inputs.
func preactivations(g *graph.Graph, values map[string][]float32) (variance []float64) {
	const n = 20
	d := &draws{}
	var x [][]float64
	for i := range n {
		row := make([]float64, 64)
		for k := range row {
			row[k] = float64(d.normal(1, i, k, 0))
		}
		x = append(x, row)
	}
	for _, p := range g.Params() {
		if p.In < 0 {
			continue
		}
		w, out := values[p.Name], p.Axes[1].Size()
		squares := 0.0
		for i, row := range x {
			y := make([]float64, out)
			for k, v := range row {
				if v == 0 {
					continue
				}
				for o := range y {
					y[o] += v * float64(w[k*out+o])
				}
			}
			for o := range y {
				squares += y[o] * y[o]
				y[o] = max(y[o], 0)
			}
			x[i] = y
		}
		variance = append(variance, squares/float64(n*out))
	}
	return variance
}

// Mode constraint makes old and new entries of a layer alike from what was
// measured, and falls back to the table where there is nothing to measure.
func TestConstraintMeasures(t *testing.T) {
	before, after := step(40, 60, 40, 60)
	old, now := pair(t, graph.Weight, before, after)
	cfg := mode(VTConstraint)
	from := make([]float32, old.W.Len())
	for i := range from {
		from[i] = 3 * float32(i%2*2-1) // variance 9
	}
	to := make([]float32, now.W.Len())
	newEvent(&cfg, 1, 1, graph.New(graph.Config{})).Fill(old, now, from, to)
	if want := math.Sqrt(1.0 / 60); math.Abs(math.Abs(float64(to[0]))-want) > 1e-6 {
		t.Errorf("old entry is %v, want ±%v", to[0], want)
	}
	if r := measuredFactor(now, make([]float32, len(from)), 0.5); r != 0.5 {
		t.Errorf("factor %v of weights that are all zero, want the table's 0.5", r)
	}
}

func TestFillRefusesTheWrongOrder(t *testing.T) {
	w := &graph.Param{Name: "w", ParamSpec: graph.Weight(graph.Fixed(2), graph.Fixed(2))}
	b := &graph.Param{Name: "b", ParamSpec: graph.Vector(graph.Fixed(2), graph.InitZero), Scaled: []*graph.Param{w}}
	defer func() {
		if p := fmt.Sprint(recover()); p != "grow: b is filled before w" {
			t.Errorf("panic %q", p)
		}
	}()
	cfg := mode(VTPaper)
	newEvent(&cfg, 1, 1, graph.New(graph.Config{})).Fill(b, b, make([]float32, 2), make([]float32, 2))
}
