package grow

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// net is a compiled network whose values the test reads and writes.
type net struct {
	t    testing.TB
	dev  kernels.Device
	g    *graph.Graph
	prog *graph.Program
}

const rows = 6 // images or sequences of a test batch

func device(t testing.TB) kernels.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

func build(t testing.TB, dev kernels.Device, spec models.Spec, sizes graph.Sizes, train bool) *net {
	t.Helper()
	n := &net{t: t, dev: dev, g: trace(t, spec, graph.Config{Sizes: sizes, Train: train}, rows)}
	var ts []*kernels.Tensor
	for _, p := range n.all() {
		ts = append(ts, p.W)
	}
	if train {
		for _, r := range n.g.Reduced() {
			ts = append(ts, r.T)
		}
	}
	n.place(ts)
	var err error
	if n.prog, err = n.g.Compile(dev); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.prog.Close() })
	return n
}

func (n *net) place(ts []*kernels.Tensor) {
	n.t.Helper()
	for _, x := range ts {
		buf, err := n.dev.Alloc(x.Bytes())
		if err != nil {
			n.t.Fatal(err)
		}
		x.Buf = buf
	}
}

func (n *net) all() []*graph.Param {
	ps := n.g.Params()
	return append(ps[:len(ps):len(ps)], n.g.States()...)
}

func (n *net) read(x *kernels.Tensor) []float32 {
	n.t.Helper()
	v := make([]float32, x.Len())
	if err := n.dev.ReadF32(x, v); err != nil {
		n.t.Fatal(err)
	}
	return v
}

func (n *net) write(x *kernels.Tensor, v []float32) {
	n.t.Helper()
	if err := n.dev.WriteF32(x, v); err != nil {
		n.t.Fatal(err)
	}
}

// randomize gives the network values as of one that has trained for a while:
// initial ones, all of them moved a little.
func (n *net) randomize(seed uint64) {
	for _, p := range n.all() {
		v := make([]float32, p.W.Len())
		p.Initial(seed, v)
		key := philox.NewKey(seed, "moved/"+p.Name)
		for i := range v {
			z := philox.Normals(key.Index(uint64(i / 4)))[i%4]
			switch {
			case p.Variance:
				v[i] = float32(math.Exp(0.3 * float64(z)))
			case p.In >= 0:
				v[i] += 0.1 * z / float32(math.Sqrt(float64(p.FanIn())))
			default:
				v[i] += 0.1 * z
			}
		}
		n.write(p.W, v)
	}
}

// grow fills n from old as an event does, and returns the event.
func (n *net) grow(old *net, c Config) *event {
	e := newEvent(&c, 7, 1, old.g)
	qs := n.all()
	for i, p := range old.all() {
		to := make([]float32, qs[i].W.Len())
		for k := range to {
			to[k] = float32(math.NaN()) // what nobody sets shows
		}
		e.Fill(p, qs[i], old.read(p.W), to)
		n.write(qs[i].W, to)
	}
	return e
}

// run computes one step on random data of the given seed.
func (n *net) run(spec models.Spec, seed uint64) {
	n.t.Helper()
	x, y := n.prog.Input("x"), n.prog.Input("y")
	key := philox.NewKey(seed, "data")
	targets := make([]int32, y.Len())
	classes := spec.Classes
	if spec.Sequence() {
		classes = spec.Vocab
	}
	for i := range targets {
		targets[i] = int32(philox.Below(key.With(1).Index(uint64(i))[0], classes))
	}
	var err error
	if spec.Sequence() {
		tokens := make([]int32, x.Len())
		for i := range tokens {
			tokens[i] = int32(philox.Below(key.Index(uint64(i))[0], classes))
		}
		err = n.dev.WriteI32(x, tokens)
	} else {
		v := make([]float32, x.Len())
		for i := range v {
			v[i] = philox.Normals(key.Index(uint64(i)))[0]
		}
		err = n.dev.WriteF32(x, v)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.dev.WriteI32(y, targets); err != nil {
		n.t.Fatal(err)
	}
	env := &kernels.Env{Seed: 1, GradScale: 1 / float32(len(targets))}
	if err := n.prog.Run(env, nil); err != nil {
		n.t.Fatal(err)
	}
}

// subject is a network small enough to grow in a test.
type subject struct {
	name string
	spec models.Spec
	// norm says that batch norm takes the scale of everything but the
	// classifier away; plain that nothing does and all maps are
	// homogeneous.
	norm, plain bool
	copies      bool // widening by copies is exact, too
	// deep amplifies rounding: many layers of batch statistics over few
	// values.
	deep bool
}

// tolerance is what rounding may do to results relative to the largest.
func (s subject) tolerance() float64 {
	if s.deep {
		return 2e-4
	}
	return 2e-6
}

func images(name string, side int, edit ...func(*models.Spec)) models.Spec {
	s := models.Spec{Name: name, Height: side, Width: side, Channels: 3, Classes: 5}
	for _, f := range edit {
		f(&s)
	}
	return s
}

func base(n int) func(*models.Spec) { return func(s *models.Spec) { s.Base = n } }

var subjects = []subject{
	{"mlp", images("mlp", 4, func(s *models.Spec) { s.Hidden = []int{12, 8, 10} }), false, true, true, false},
	{"mlp with batch norm", images("mlp", 4, func(s *models.Spec) { s.Hidden, s.Norm = []int{12, 8}, true }), true, false, true, false},
	{"conv-bn", images("vgg-11", 8), true, false, true, false},
	{"residual, option A", images("resnet-8", 8, base(8)), true, false, false, false},
	{"residual, projections", images("resnet-18", 8, base(8)), true, false, true, false},
	{"bottlenecks, large stem", images("resnet-50", 64, base(8), func(s *models.Spec) { s.Stem = models.StemLarge }), true, false, true, true},
	{"pre-activation", images("wrn-10-1", 8), true, false, true, false},
	{"depthwise", images("mobilenet", 32), true, false, true, true},
	{"lstm", models.Spec{Name: "lstm", Vocab: 7, Context: 5, Dim: 12}, false, false, true, false},
	{"transformer", models.Spec{Name: "transformer", Vocab: 7, Context: 6, Layers: 2, Dim: 8, Heads: 4, Inner: 12}, false, false, true, false},
}

// event sizes: every Dim starts small and grows by one or two pairs, not all
// Dims alike, and one in four not at all; the classifier's input does.
func (s subject) sizes(t testing.TB) (before, after graph.Sizes) {
	before, after = graph.Sizes{}, graph.Sizes{}
	g := trace(t, s.spec, graph.Config{}, 1)
	head := g.Params()[len(g.Params())-2].Axes[0].Dim // the classifier's input
	for i, d := range g.Dims() {
		c := min(4+2*(i%2), d.Full/2)
		more := []int{2, 0, 4, 2}[i%4]
		if d == head {
			more = 2
		}
		before[d.Name] = []int{c}
		after[d.Name] = []int{c, min(c+more, d.Full)}
	}
	return before, after
}

func mode(vt VT) Config {
	c := Defaults()
	c.VT = vt
	return c
}

func largest(v []float32) (m float64) {
	for _, x := range v {
		m = max(m, math.Abs(float64(x)))
	}
	return m
}

// apart is the largest difference of a and scale·b relative to the largest
// entry of a.
func apart(a, b []float32, scale float64) float64 {
	d := 0.0
	for i := range a {
		x := math.Abs(float64(a[i]) - scale*float64(b[i]))
		if math.IsNaN(x) {
			return math.Inf(1)
		}
		d = max(d, x)
	}
	return d / max(largest(a), 1e-30)
}
