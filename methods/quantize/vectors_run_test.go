package quantize

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels/lowbit"
)

func TestVectorsOfExport(t *testing.T) {
	var v struct {
		Cases []struct {
			N, C int
			Lo   int `json:"p_lo"`
			Hi   int `json:"p_hi"`
			W    [][]float64
			M    []float64 `json:"row_M"`
			High []int     `json:"hi_channels"`
			Perm []int
			BN   struct {
				Gamma, Beta, Mean, Var []float64
				Eps                    float64
			}
			X       [][]float64
			Delta   []float64 `json:"act_delta"`
			ActCode [][]int   `json:"act_code"`
			CodeHi  [][]int   `json:"code_hi"`
			CodeLo  [][]int   `json:"code_lo"`
			ScaleHi []float64 `json:"folded_scale_hi"`
			ScaleLo []float64 `json:"folded_scale_lo"`
			Bias    []float64 `json:"folded_bias"`
			DotHi   [][]int32 `json:"int_dot_hi"`
			DotLo   [][]int32 `json:"int_dot_lo"`
			Y       [][]float64
		}
	}
	readVectors(t, "soniq-export.json", &v)
	for i, c := range v.Cases {
		name := fmt.Sprintf("case %d W%d/%d", i, c.Hi, c.Lo)
		equal(t, name+" perm", permutation(c.High, c.C), c.Perm)
		// group quantizes some channels of all rows and packs them.
		group := func(bits int, channels []int, want [][]int) (*lowbit.Matrix, []float64) {
			var u []byte
			scale := make([]float64, c.N)
			for r, w := range c.W {
				q := each(channels, func(ch int) int { return Code(w[ch], c.M[r], bits) })
				equal(t, name+" codes", q, want[r])
				u = append(u, each(q, func(q int) byte { return Unsigned(q, bits) })...)
				factor, _ := Fold(c.BN.Gamma[r], c.BN.Beta[r], c.BN.Mean[r], c.BN.Var[r], c.BN.Eps)
				scale[r] = factor * Step(c.M[r], bits)
			}
			m, err := lowbit.NewMatrix(bits, c.N, len(channels), 8, u)
			if err != nil {
				t.Fatal(err)
			}
			return m, scale
		}
		for r, w := range c.W {
			most := 0.0
			for _, x := range w {
				most = math.Max(most, math.Abs(x))
			}
			near(t, name+" M", []float64{most}, []float64{c.M[r]})
		}
		n := len(c.High)
		hi, scaleHi := group(c.Hi, c.Perm[:n], c.CodeHi)
		lo, scaleLo := group(c.Lo, c.Perm[n:], c.CodeLo)
		near(t, name+" scale", append(scaleHi, scaleLo...), append(append([]float64{}, c.ScaleHi...), c.ScaleLo...))
		for b, x := range c.X {
			codes, delta := Symmetric(x, 8)
			equal(t, name+" activations", codes, c.ActCode[b])
			near(t, name+" delta", []float64{delta}, []float64{c.Delta[b]})
			dots := func(m *lowbit.Matrix, channels []int) []int32 {
				a := lowbit.NewTokens(1, m.Stride())
				for k, ch := range channels {
					a.Row(0)[k] = int8(codes[ch])
				}
				a.Sum(0, 1)
				dst := make([]int32, c.N)
				m.Dots(dst, a, 0, 1, 0, c.N, new(lowbit.Space))
				return dst
			}
			dotHi, dotLo := dots(hi, c.Perm[:n]), dots(lo, c.Perm[n:])
			equal(t, name+" high sums", dotHi, c.DotHi[b])
			equal(t, name+" low sums", dotLo, c.DotLo[b])
			for r := range c.N {
				_, shift := Fold(c.BN.Gamma[r], c.BN.Beta[r], c.BN.Mean[r], c.BN.Var[r], c.BN.Eps)
				near(t, name+" bias", []float64{shift}, []float64{c.Bias[r]})
				near(t, name+" y", []float64{Output(dotHi[r], dotLo[r], scaleHi[r], scaleLo[r], delta, shift)}, []float64{c.Y[b][r]})
			}
		}
	}
}

// trainCase is a run of both phases on one linear layer.
type trainCase struct {
	N, C, Batch, Steps int
	Noise              int     `json:"T_noise"`
	Lambda             float64 `json:"lambda_"`
	SGD                struct {
		LR, Momentum float64
		WeightDecay  float64 `json:"weight_decay"`
	}
	Adam struct {
		LR, Beta1, Beta2, Eps float64
	}
	Levels []int
	W0     [][]float64
	S0     []float64
	X, Y   [][][]float64
	Eps    [][][]float64 `json:"EPS"`
	Trace  []struct {
		Task   float64     `json:"task_loss"`
		Reg    float64     `json:"reg_loss"`
		WAfter [][]float64 `json:"w_after"`
		SAfter []float64   `json:"s_after"`
	}
	P []int   `json:"p_final"`
	M float64 `json:"M_final"`
	Q [][]int `json:"q_final"`
}

func TestVectorsOfTraining(t *testing.T) {
	var v struct {
		Case  *trainCase
		Cases []trainCase
	}
	readVectors(t, "soniq-train.json", &v)
	if v.Case != nil {
		v.Cases = append(v.Cases, *v.Case)
	}
	for i := range v.Cases {
		replay(t, fmt.Sprintf("case %d", i), &v.Cases[i])
	}
}

func largest(w [][]float64) (m float64) {
	for _, x := range flatten(w) {
		m = math.Max(m, math.Abs(x))
	}
	return m
}

func replay(t *testing.T, name string, c *trainCase) {
	w, s := each(c.W0, func(r []float64) []float64 { return append([]float64{}, r...) }), append([]float64{}, c.S0...)
	velocity := each(w, func(r []float64) []float64 { return make([]float64, len(r)) })
	mean, square := make([]float64, len(s)), make([]float64, len(s))
	var p []int
	for step := range c.Steps {
		used := each(w, func(r []float64) []float64 { return append([]float64{}, r...) })
		noisy := step < c.Noise
		if !noisy && p == nil {
			m := Normal(largest(w))
			p = each(s, func(s float64) int {
				if Floor(Relaxed(s, m)) <= c.Levels[0] {
					return c.Levels[0]
				}
				return c.Levels[1]
			})
		}
		m := largest(w)
		for r := range used {
			for k := range used[r] {
				if noisy {
					used[r][k] += NoiseSMOL.Amplitude(s[k], m) * c.Eps[step][r][k]
				} else {
					used[r][k] = Round(w[r][k], m, p[k])
				}
			}
		}
		task, reg := 0.0, 0.0
		grad := each(w, func(r []float64) []float64 { return make([]float64, len(r)) })
		for b, x := range c.X[step] {
			for r := range used {
				y := 0.0
				for k := range x {
					y += used[r][k] * x[k]
				}
				d := y - c.Y[step][b][r]
				task += d * d / 2 / float64(c.Batch)
				for k := range x {
					grad[r][k] += d * x[k] / float64(c.Batch)
				}
			}
		}
		for r := range w {
			for k := range w[r] {
				velocity[r][k] = c.SGD.Momentum*velocity[r][k] + grad[r][k] + c.SGD.WeightDecay*w[r][k]
				w[r][k] -= c.SGD.LR * velocity[r][k]
			}
		}
		if noisy {
			price := c.Lambda * float64(c.N)
			for k := range s {
				sum := 0.0
				for r := range w {
					sum += c.Eps[step][r][k] * grad[r][k]
				}
				reg += price * Softplus(s[k])
				g := Slope(s[k], sum) + price*Price(s[k])
				s[k], mean[k], square[k] = Adam(s[k], mean[k], square[k], g, c.Adam.LR, uint64(step))
			}
		}
		for r := range w {
			for k := range w[r] {
				l := Limit(s[k])
				w[r][k] = math.Max(-l, math.Min(l, w[r][k]))
			}
		}
		at := fmt.Sprintf("%s step %d", name, step)
		want := c.Trace[step]
		nearTo(t, at+" losses", []float64{task, reg}, []float64{want.Task, want.Reg}, 1e-8)
		nearTo(t, at+" w", flatten(w), flatten(want.WAfter), 1e-8)
		nearTo(t, at+" s", s, want.SAfter, 1e-8)
	}
	equal(t, name+" p", p, c.P)
	near(t, name+" M", []float64{largest(w)}, []float64{c.M})
	for r := range w {
		q := make([]int, len(w[r]))
		for k := range q {
			q[k] = Code(w[r][k], largest(w), p[k])
		}
		equal(t, name+" codes", q, c.Q[r])
	}
}
