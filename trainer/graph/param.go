package graph

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// ParamID numbers parameters in the order in which the model names them. It
// is the same for every size of the network.
type ParamID int

// InitKind says how initial values are drawn.
type InitKind uint8

// Kinds of initial values.
const (
	InitZero  InitKind = iota
	InitOne            // norm gains
	InitFanIn          // normal, variance Gain²/fan-in (hidden and input role)
	InitOut            // normal, variance Gain²/fan-in² (output role)
	InitStd            // normal, standard deviation Gain
	InitConst          // Gain
	InitOrtho          // a matrix with orthonormal rows or columns, whichever are fewer
)

// ParamSpec describes a parameter. In and Out are the axes that consume and
// produce channels; -1 where there is none.
type ParamSpec struct {
	Axes    []Axis
	In, Out int
	Init    InitKind
	Gain    float32
	// Rate multiplies the learning rate of the whole parameter; 0 means 1.
	Rate float32
	// NoDecay exempts the parameter from weight decay where the optimizer
	// is told to spare norms and biases.
	NoDecay bool
	// Undecayed exempts it under every setting.
	Undecayed bool
	// Local marks a parameter whose gradient is no sum over shards: a method
	// sets G at the event Reduced, alike on every rank. It is none of the
	// network's own numbers.
	Local bool
	// Stacked: the first axis stacks weights that are used in each other's
	// place, and counts for no fan-in.
	Stacked bool
	// Branch marks the last linear map of a residual branch without a norm
	// behind it: scaling it would scale the branch against the skip path.
	Branch bool
	// State marks running statistics: kept, grown and saved, not trained.
	State bool
	// Variance marks a running variance.
	Variance bool
}

// Weight describes a linear map [in][out].
func Weight(in, out Axis) ParamSpec {
	return ParamSpec{Axes: []Axis{in, out}, In: 0, Out: 1, Init: InitFanIn, Gain: 1}
}

// Kernel describes a convolution [k][k][in][out].
func Kernel(k int, in, out Axis) ParamSpec {
	return ParamSpec{Axes: []Axis{Fixed(k), Fixed(k), in, out}, In: 2, Out: 3, Init: InitFanIn, Gain: 1}
}

// Depthwise describes a depthwise convolution [k][k][1][channels].
func Depthwise(k int, ch Axis) ParamSpec {
	return ParamSpec{Axes: []Axis{Fixed(k), Fixed(k), Fixed(1), ch}, In: -1, Out: 3, Init: InitFanIn, Gain: 1}
}

// Vector describes one number a channel: a bias, a norm's gain or shift.
func Vector(ch Axis, init InitKind) ParamSpec {
	return ParamSpec{Axes: []Axis{ch}, In: -1, Out: 0, Init: init, NoDecay: true}
}

// Param is a trained parameter, or running statistics, of a traced graph.
type Param struct {
	ParamSpec
	ID   ParamID
	Name string
	W    *kernels.Tensor
	G    *kernels.Tensor // gradient, after Backward; nil for states

	// Scaled are the weights whose variance-transfer factor this parameter
	// must follow: a bias behind them, running statistics of their output.
	Scaled []*Param
}

// FanIn is the number of products that are summed into one output.
func (p *Param) FanIn() int {
	n := 1
	for i, a := range p.Axes {
		if i != p.Out && !(i == 0 && p.Stacked) {
			n *= a.Size()
		}
	}
	return n
}

// Blocks is the partition of the parameter into growth stages, as the matrix
// [Rows, Cols] of its leading axes by its last one.
func (p *Param) Blocks() kernels.Blocks {
	last := p.Axes[len(p.Axes)-1]
	b := kernels.Blocks{Rows: 1, Cols: last.Size(), ColBlock: last.Blocks(), N: last.Stages()}
	for _, a := range p.Axes[:len(p.Axes)-1] {
		b.Rows *= a.Size()
	}
	for i, a := range p.Axes[:len(p.Axes)-1] {
		blocks := a.Blocks()
		if blocks == nil {
			continue
		}
		b.N = max(b.N, a.Stages())
		inner := 1
		for _, c := range p.Axes[i+1 : len(p.Axes)-1] {
			inner *= c.Size()
		}
		if b.RowBlock == nil {
			b.RowBlock = make([]int32, b.Rows)
		}
		for r := range b.RowBlock {
			b.RowBlock[r] = max(b.RowBlock[r], blocks[r/inner%len(blocks)])
		}
	}
	return b
}

// Param declares a parameter and returns it for use in the network.
func (g *Graph) Param(name string, s ParamSpec) *Value {
	for _, p := range append(g.params, g.states...) {
		if p.Name == name {
			fail("parameter %s declared twice", name)
		}
	}
	p := &Param{ParamSpec: s, Name: name, W: kernels.New(name, kernels.F32, sizes(s.Axes)...)}
	v := &Value{T: p.W, Axes: s.Axes, g: g, param: p}
	if s.State {
		p.ID = ParamID(len(g.states))
		g.states = append(g.states, p)
		return v
	}
	p.ID = ParamID(len(g.params))
	g.params = append(g.params, p)
	if g.cfg.Weights != nil && !g.hooked {
		g.hooked = true
		v = g.cfg.Weights(g, p, v)
		g.hooked = false
		v.param = p
	}
	return v
}

// From says that v was made from the parameter that p is, and takes its place
// in what follows: a mix of stacked weights.
func (v *Value) From(p *Value) *Value {
	v.param = p.param
	return v
}

// Params lists the trained parameters, States the running statistics.
func (g *Graph) Params() []*Param { return g.params }

// States lists running statistics in the order in which the model names them.
func (g *Graph) States() []*Param { return g.states }

// ParamCount is the number of trained numbers of the network, without those
// that methods keep beside it.
func (g *Graph) ParamCount() int {
	n := 0
	for _, p := range g.params {
		if !p.Local {
			n += p.W.Len()
		}
	}
	return n
}

func (p *Param) String() string { return fmt.Sprintf("%s %v", p.Name, p.Axes) }
