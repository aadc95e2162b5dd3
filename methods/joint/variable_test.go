package joint

import (
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer/graph"
)

var variables = []Variable{{0.2, 3}, {0, 0}, {-0.3, -4.8}, {1.5, 2}, {-2, 6}, {0.01, -1}}

// differences are central differences of f by both parts of v.
func differences(v Variable, f func(Variable) float64) Variable {
	const h = 1e-5
	return Variable{
		(f(Variable{v.Gate + h, v.Precision}) - f(Variable{v.Gate - h, v.Precision})) / (2 * h),
		(f(Variable{v.Gate, v.Precision + h}) - f(Variable{v.Gate, v.Precision - h})) / (2 * h),
	}
}

func near(got, want Variable) bool {
	close := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*(1+math.Abs(b)) }
	return close(got.Gate, want.Gate) && close(got.Precision, want.Precision)
}

func TestGradients(t *testing.T) {
	const value, noise = 0.7, -1.3
	for _, beta := range []float64{1, 3.5, 40} {
		for _, v := range variables {
			if got, want := v.Price(beta), differences(v, func(x Variable) float64 { return x.Bits(beta) }); !near(got, want) {
				t.Errorf("price of %v at %v: %v, differences %v", v, beta, got, want)
			}
			loss := func(x Variable) float64 {
				return x.Present(beta) * (value + quantize.Sigmoid(x.Precision)*noise)
			}
			if got, want := v.Slope(beta, value, noise), differences(v, loss); !near(got, want) {
				t.Errorf("slope of %v at %v: %v, differences %v", v, beta, got, want)
			}
		}
	}
}

// Open gates leave the price of quantize, up to the first bit of every weight,
// which is no longer free; a high temperature counts whole channels.
func TestLimits(t *testing.T) {
	for _, v := range variables {
		open := Variable{50, v.Precision}
		if got, want := open.Bits(1), quantize.Softplus(v.Precision)+1; math.Abs(got-want) > 1e-12*want {
			t.Errorf("%v bits with an open gate, quantize has %v", got, want)
		}
		if got, want := open.Price(1), (Variable{0, quantize.Price(v.Precision)}); !near(got, want) {
			t.Errorf("price %v with an open gate, quantize has %v", got, want)
		}
		want := 0.0
		if v.Gate > 0 {
			want = quantize.Bits(v.Precision)
		}
		if v.Gate == 0 {
			want = quantize.Bits(v.Precision) / 2 // the only one that no temperature decides
		}
		if got := v.Bits(1e5); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v bits of %v at a high temperature, want %v", got, v, want)
		}
	}
}

func TestPalette(t *testing.T) {
	s := quantize.Variable
	for _, c := range []struct {
		name     string
		channels []Variable
		want     []int
	}{
		{"none", []Variable{{-1, s(8)}, {0, s(8)}}, []int{0, 0}},
		{"one level", []Variable{{1, s(2.5)}, {-1, s(8)}, {1, s(2.2)}}, []int{2, 0, 2}},
		{"two levels and nothing", []Variable{{1, s(1.2)}, {1, s(7.5)}, {-1, s(8)}, {1, s(1.2)}}, []int{1, 8, 0, 1}},
	} {
		if got := Palette(c.channels, 1); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The slopes of a layer are those of what the network computes with, for a
// loss that is linear in it, and of the price on all of it.
func TestSlopesOfALayer(t *testing.T) {
	for _, cost := range []Cost{CostBytes, CostFlops} {
		l := &layer{w: &graph.Param{Name: "w"}, parts: 2, rows: 6, channels: 3, outs: 2}
		plan := &Plan{Config: Defaults(), Uses: map[string]float64{"w": 4}}
		plan.Config.Cost, plan.Config.Price = cost, 2
		e := &engine{plan: plan, total: float64(l.len()) * plan.unit("w")}
		random := func(name string) []float32 {
			v := make([]float32, l.len())
			for i := range v {
				v[i] = float32(quantize.Uniform(philox.NewKey(1, name).Index(uint64(i))[0]))
			}
			return v
		}
		w, grad := random("w"), random("grad")
		l.noise = random("noise")
		const beta = 2.5
		objective := func(v []Variable) (sum float64) {
			for i := range w {
				r := i / l.outs
				x := v[r/l.rows*l.channels+r%l.channels]
				used := x.Present(beta) * (plan.Config.factor()*float64(w[i]) + quantize.Sigmoid(x.Precision)*float64(l.noise[i]))
				sum += float64(grad[i])*used + plan.Config.Price/float64(l.len())*x.Bits(beta)
			}
			return sum
		}
		for c, got := range e.slopes(l, variables, beta, w, grad) {
			want := differences(variables[c], func(x Variable) float64 {
				v := slices.Clone(variables)
				v[c] = x
				return objective(v)
			})
			if !near(got, want) {
				t.Errorf("%s: slope of channel %d is %v, differences %v", cost, c, got, want)
			}
		}
	}
}
