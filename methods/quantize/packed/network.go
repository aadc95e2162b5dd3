package packed

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Network is a network with packed layers.
type Network struct {
	Model       models.Spec
	Sizes       graph.Sizes
	Activations int    // bits
	Data        string // the data set that it was trained on, for the record
	Step        uint64 // of the checkpoint that it was made of
	Layers      []*Layer
	// Values are the parameters and running statistics that are neither
	// packed nor folded away, by name.
	Values map[string][]float32
}

// Source is a trained network.
type Source struct {
	Model       models.Spec
	Sizes       graph.Sizes
	Activations quantize.Activations
	Data        string
	Step        uint64
	// Values finds a parameter, running statistic or state of the method by
	// name.
	Values func(name string) ([]float32, bool)
}

// Pack makes a packed network of a checkpoint of a run with methods/quantize,
// taken in its quantized phase. Where activations were not rounded in training
// they get 8 bits.
func Pack(src *Source) (*Network, error) {
	n := &Network{Model: src.Model, Sizes: src.Sizes, Activations: src.Activations.Bits(), Data: src.Data, Step: src.Step, Values: map[string][]float32{}}
	if n.Activations == 0 {
		n.Activations = 8
	}
	g, err := n.Trace(1)
	if err != nil {
		return nil, err
	}
	uses := usesOf(g)
	folded := map[string]bool{}
	for _, p := range g.Params() {
		raw, found, err := src.raw(p, g)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		u := uses[p.Name]
		if u.other != nil {
			return nil, fmt.Errorf("weight %s is used by %T, for which there is no packed kernel: leave it out with quantize.skip", p.Name, u.other)
		}
		if u.bias != nil {
			var ok bool
			if raw.Bias, ok = src.Values(u.bias.Name); !ok || len(raw.Bias) != raw.Outs {
				return nil, fmt.Errorf("%d values of %s, want %d", len(raw.Bias), u.bias.Name, raw.Outs)
			}
		}
		l, err := NewLayer(raw, n.Activations)
		if err != nil {
			return nil, err
		}
		if u.norm != nil {
			if err := src.foldNorm(l, u.norm); err != nil {
				return nil, err
			}
		}
		u.absorb(folded, l.Norm != "")
		n.Layers = append(n.Layers, l)
	}
	if len(n.Layers) == 0 {
		return nil, fmt.Errorf("no weight of the network was quantized: train it with the quantize section of a job")
	}
	for _, p := range slices.Concat(g.Params(), g.States()) {
		if n.Layer(p.Name) != nil || folded[p.Name] {
			continue
		}
		v, ok := src.Values(p.Name)
		if !ok || len(v) != p.W.Len() {
			return nil, fmt.Errorf("%d values of %v, want %d", len(v), p, p.W.Len())
		}
		n.Values[p.Name] = v
	}
	return n, nil
}

// raw finds what quantization has left of a parameter.
func (src *Source) raw(p *graph.Param, g *graph.Graph) (r *Raw, found bool, err error) {
	bits, found := src.Values(p.Name + ".bits")
	if !found {
		return nil, false, nil
	}
	r = &Raw{Name: p.Name, Channels: len(bits), Outs: p.Axes[len(p.Axes)-1].Size(), Bits: make([]int, len(bits))}
	if len(p.Axes) == 4 {
		r.Side = p.Axes[0].Size()
	}
	for c, b := range bits {
		r.Bits[c] = int(b)
	}
	var ok, also bool
	r.Weights, ok = src.Values(p.Name + ".used")
	r.Scale, also = src.Values(p.Name + ".scale")
	if !ok || !also || len(r.Weights) != p.W.Len() || len(r.Scale) != r.Outs || r.Channels != p.Axes[p.In].Size() {
		return nil, false, fmt.Errorf("weight %v: the checkpoint's states do not fit it", p)
	}
	return r, true, nil
}

func (src *Source) foldNorm(l *Layer, o *kernels.BatchNormInfer) error {
	var v [4][]float32
	for i, t := range []*kernels.Tensor{o.Gamma, o.Beta, o.Mean, o.Var} {
		var ok bool
		if v[i], ok = src.Values(t.Name); !ok || len(v[i]) != l.Outs {
			return fmt.Errorf("%d values of %s, want %d", len(v[i]), t.Name, l.Outs)
		}
	}
	l.fold(o.Gamma.Name, v[0], v[1], v[2], v[3], float64(o.Eps))
	return nil
}

// use is how a network uses a weight.
type use struct {
	bias  *kernels.Tensor         // nil: none
	norm  *kernels.BatchNormInfer // the only reader of the layer's output
	other kernels.Op              // something else than a packed layer can be
}

// absorb names the parameters that a packed layer has taken in.
func (u *use) absorb(folded map[string]bool, norm bool) {
	if u.bias != nil {
		folded[u.bias.Name] = true
	}
	if norm {
		for _, t := range []*kernels.Tensor{u.norm.Gamma, u.norm.Beta, u.norm.Mean, u.norm.Var} {
			folded[t.Name] = true
		}
	}
}

// usesOf looks every weight's use up.
func usesOf(g *graph.Graph) map[string]use {
	ops := g.Forward()
	uses := map[string]use{}
	for i, op := range ops {
		w, y := weightOf(op)
		if w == nil {
			for _, t := range op.Inputs() {
				u := uses[t.Root().Name]
				u.other = op
				uses[t.Root().Name] = u
			}
			continue
		}
		u := uses[w.Name]
		bias, act := biasOf(op)
		u.bias = bias
		if act == kernels.NoAct {
			u.norm = normBehind(ops[i+1:], y)
		}
		uses[w.Name] = u
	}
	return uses
}

// weightOf is the weight and the output of an op that a packed layer can do.
func weightOf(op kernels.Op) (w, y *kernels.Tensor) {
	switch o := op.(type) {
	case *kernels.Conv2D:
		if o.Groups == 1 && o.W.Base == nil {
			return o.W, o.Y
		}
	case *kernels.MatMul:
		if !o.TransA && !o.TransB && !o.Acc && len(o.B.Shape) == 2 && o.B.Base == nil && (o.Alpha == 0 || o.Alpha == 1) {
			return o.B, o.C
		}
	}
	return nil, nil
}

func biasOf(op kernels.Op) (*kernels.Tensor, kernels.Act) {
	switch o := op.(type) {
	case *kernels.Conv2D:
		return o.Bias, o.Act
	case *kernels.MatMul:
		return o.Bias, o.Act
	}
	return nil, kernels.NoAct
}

// normBehind is the batch norm of y, where nothing else reads it.
func normBehind(ops []kernels.Op, y *kernels.Tensor) (norm *kernels.BatchNormInfer) {
	for _, op := range ops {
		for _, t := range op.Inputs() {
			if t.Root() != y {
				continue
			}
			b, ok := op.(*kernels.BatchNormInfer)
			if !ok || norm != nil || b.X != y {
				return nil
			}
			norm = b
		}
	}
	return norm
}

// Layer finds a packed layer by its weight; nil when there is none.
func (n *Network) Layer(weight string) *Layer {
	for _, l := range n.Layers {
		if l.Name == weight {
			return l
		}
	}
	return nil
}

// Trace traces the network for evaluation in batches of rows.
func (n *Network) Trace(rows int) (*graph.Graph, error) {
	return models.Trace(n.Model, graph.Config{Sizes: n.Sizes}, rows)
}

// Place gives the graph's parameters memory of the device and their values;
// those of packed layers get none of their own.
func (n *Network) Place(dev kernels.Device, g *graph.Graph) (free func() error, err error) {
	const none = 64
	size := none
	all := slices.Concat(g.Params(), g.States())
	for _, p := range all {
		p.W.Off = 0
		if v, ok := n.Values[p.Name]; ok {
			if len(v) != p.W.Len() {
				return nil, fmt.Errorf("%d values of %v, want %d", len(v), p, p.W.Len())
			}
			p.W.Off = size
			size += (p.W.Bytes() + 63) &^ 63
		}
	}
	buf, err := dev.Alloc(size)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		p.W.Buf = buf
		if v, ok := n.Values[p.Name]; ok && err == nil {
			err = dev.WriteF32(p.W, v)
		}
	}
	if err != nil {
		buf.Close()
		return nil, err
	}
	return buf.Close, nil
}

// Weights counts the weights of packed layers; Bits is their mean precision.
func (n *Network) Weights() (count int) {
	for _, l := range n.Layers {
		count += l.Weights()
	}
	return count
}

// Bits is the mean precision of the packed weights, without scales.
func (n *Network) Bits() float64 {
	sum := 0.0
	for _, l := range n.Layers {
		sum += l.Bits() * float64(l.Weights())
	}
	return sum / float64(max(1, n.Weights()))
}
