package packed

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/methods/quantize"
)

// Layer is a packed linear map or convolution without its activation function:
//
//	y_n = delta · Σ_groups step_n · Σ_k o_nk·a_k + bias_n
type Layer struct {
	Name           string // of the weight
	Side           int    // of a convolution's window; 0 for a linear map
	Channels, Outs int
	Activations    int       // bits
	Norm           string    // batch norm folded into Scale and Bias, by the name of its factors; "" without
	Scale          []float32 // M of every output, times the norm's factor
	Bias           []float32
	Groups         []Group // of falling precision
}

// Group is the input channels of one precision.
type Group struct {
	// Levels is the precision p: an integer stands for itself times M·2^-p,
	// at 8 M/127. The matrix has it too, but where some weights were removed:
	// having no zero up to 4 bits, the integers are then stored in 8.
	Levels   int
	Channels []int // rising
	Matrix   *lowbit.Matrix
}

// taps is the number of weights of an input channel and output.
func (l *Layer) taps() int { return max(1, l.Side*l.Side) }

// Weights is the number of weights.
func (l *Layer) Weights() int { return l.taps() * l.Channels * l.Outs }

// Bits is the mean precision of the weights, without scales.
func (l *Layer) Bits() float64 {
	sum := 0
	for _, g := range l.Groups {
		sum += g.Matrix.Bits * len(g.Channels)
	}
	return float64(sum) / float64(l.Channels)
}

// Bytes is what the file holds of the layer: codes, scale and bias.
func (l *Layer) Bytes() int {
	n := 8 * l.Outs
	for _, g := range l.Groups {
		n += len(g.Matrix.Packed())
	}
	return n
}

// steps are the factors of a group's sums.
func (l *Layer) steps(g *Group) []float64 {
	s := make([]float64, l.Outs)
	for i, m := range l.Scale {
		s[i] = float64(m) / 127
		if g.Levels != 8 {
			s[i] = math.Ldexp(float64(m), -g.Levels)
		}
	}
	return s
}

// Raw is a layer as training leaves it: rounded weights [taps][channels][outs],
// the bits of every channel and the scale M of every output.
type Raw struct {
	Name           string
	Side           int
	Channels, Outs int
	Weights        []float32
	Bits           []int
	Scale          []float32
	Bias           []float32 // nil: none
}

// NewLayer packs a layer. It refuses weights that are no levels of their
// precision.
func NewLayer(r *Raw, activations int) (*Layer, error) {
	l := &Layer{Name: r.Name, Side: r.Side, Channels: r.Channels, Outs: r.Outs, Activations: activations, Scale: r.Scale, Bias: r.Bias}
	if l.Bias == nil {
		l.Bias = make([]float32, l.Outs)
	}
	for _, p := range []int{8, 4, 2, 1} {
		var channels []int
		for c, b := range r.Bits {
			if b == p {
				channels = append(channels, c)
			}
		}
		if len(channels) == 0 {
			continue
		}
		g, err := r.group(p, channels, activations)
		if err != nil {
			return nil, fmt.Errorf("weight %s: %w", r.Name, err)
		}
		l.Groups = append(l.Groups, *g)
	}
	n := 0
	for _, g := range l.Groups {
		n += len(g.Channels)
	}
	if n != l.Channels {
		return nil, fmt.Errorf("weight %s: %d of %d channels have 1, 2, 4 or 8 bits: train through the switch to the quantized phase", r.Name, n, l.Channels)
	}
	return l, nil
}

// group packs the channels of one precision.
func (r *Raw) group(p int, channels []int, activations int) (*Group, error) {
	taps := len(r.Weights) / (r.Channels * r.Outs)
	k := taps * len(channels)
	integers := make([]int, 0, r.Outs*k) // [outs][taps][channels]
	holes := false
	for n := range r.Outs {
		step := quantize.Step(float64(r.Scale[n]), p)
		for t := range taps {
			for _, c := range channels {
				w := float64(r.Weights[(t*r.Channels+c)*r.Outs+n])
				o := int(math.Round(w / step))
				if !(math.Abs(w-step*float64(o)) <= 1e-5*float64(r.Scale[n])) || !quantizable(o, p) {
					return nil, fmt.Errorf("%v in channel %d is no level of %d bits at scale %v: only a run that ends in the quantized phase can be packed", w, c, p, r.Scale[n])
				}
				holes = holes || p < 8 && o == 0
				integers = append(integers, o)
			}
		}
	}
	bits := p
	if holes {
		bits = 8
	}
	u := make([]byte, len(integers))
	for i, o := range integers {
		if bits == 8 {
			u[i] = byte(int8(o))
		} else {
			u[i] = byte((o + 1<<p - 1) / 2)
		}
	}
	m, err := lowbit.NewMatrix(bits, r.Outs, k, activations, u)
	if err != nil {
		return nil, err
	}
	return &Group{Levels: p, Channels: channels, Matrix: m}, nil
}

// quantizable reports whether an integer is a level of p bits or, removed, 0.
func quantizable(o, p int) bool {
	if p == 8 {
		return o >= -127 && o <= 127
	}
	most := 1<<p - 1
	return o == 0 || o&1 == 1 && o >= -most && o <= most
}

// Integers are the integers of a group, [taps][channels][outs].
func (l *Layer) Integers(g *Group) []float32 {
	u, n := g.Matrix.Codes(), len(g.Channels)
	v := make([]float32, len(u))
	for r := range l.Outs {
		for k, c := range u[r*l.taps()*n:][:l.taps()*n] {
			o := int(int8(c))
			if g.Matrix.Bits < 8 {
				o = lowbit.Odd(g.Matrix.Bits, c)
			}
			v[k*l.Outs+r] = float32(o)
		}
	}
	return v
}

// Weight unpacks the weights that the layer computes with, [taps][channels]
// [outs], a folded norm included.
func (l *Layer) Weight() []float32 {
	w := make([]float32, l.Weights())
	for i := range l.Groups {
		g := &l.Groups[i]
		steps, v := l.steps(g), l.Integers(g)
		for i, o := range v {
			k, r := i/l.Outs, i%l.Outs
			n := len(g.Channels)
			w[(k/n*l.Channels+g.Channels[k%n])*l.Outs+r] = float32(steps[r] * float64(o))
		}
	}
	return w
}

// fold multiplies the layer's outputs by a factor and adds a shift to them, as
// the batch norm called norm does at evaluation.
func (l *Layer) fold(norm string, gamma, beta, mean, variance []float32, eps float64) {
	l.Norm = norm
	scale, bias := make([]float32, l.Outs), make([]float32, l.Outs)
	for i := range l.Outs {
		factor, shift := quantize.Fold(float64(gamma[i]), float64(beta[i]), float64(mean[i]), float64(variance[i]), eps)
		scale[i] = float32(float64(l.Scale[i]) * factor)
		bias[i] = float32(float64(l.Bias[i])*factor + shift)
	}
	l.Scale, l.Bias = scale, bias
}

// Int8 is the layer in 8 bits throughout, with scales of its own: what a
// packed one is compared with.
func (l *Layer) Int8() (*Layer, error) { return l.Uniform(8, l.Activations) }

// Uniform is the layer with all weights rounded anew to `bits`.
func (l *Layer) Uniform(bits, activations int) (*Layer, error) {
	w := l.Weight()
	r := &Raw{Name: l.Name, Side: l.Side, Channels: l.Channels, Outs: l.Outs, Weights: w, Bias: l.Bias,
		Bits: make([]int, l.Channels), Scale: make([]float32, l.Outs)}
	for c := range r.Bits {
		r.Bits[c] = bits
	}
	return r.round(activations)
}

// Random is a layer of random weights, for measurements.
func Random(name string, side, channels, outs, bits, activations int) (*Layer, error) {
	r := &Raw{Name: name, Side: side, Channels: channels, Outs: outs, Weights: make([]float32, max(1, side*side)*channels*outs),
		Bits: make([]int, channels), Scale: make([]float32, outs)}
	lowbit.Noise(r.Weights, philox.NewKey(1, name), philox.Counter{})
	for c := range r.Bits {
		r.Bits[c] = bits
	}
	return r.round(activations)
}

// round gives rows the scales of their largest weights and rounds to them.
func (r *Raw) round(activations int) (*Layer, error) {
	for k := 0; k < len(r.Weights); k += r.Outs {
		lowbit.Larger(r.Scale, r.Weights[k:][:r.Outs])
	}
	for i, m := range r.Scale {
		r.Scale[i] = max(m, 1e-12)
	}
	rounder := lowbit.NewRounder(r.Bits[0], r.Scale)
	for k := 0; k < len(r.Weights); k += r.Outs {
		rounder.Round(r.Weights[k:][:r.Outs])
	}
	return NewLayer(r, activations)
}
