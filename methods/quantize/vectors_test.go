package quantize

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// readVectors reads the reference values of one file of testdata/vectors, or
// of the folder that ESPALIER_VECTORS names.
func readVectors(t *testing.T, file string, v any) {
	t.Helper()
	dir, other := os.Getenv("ESPALIER_VECTORS"), true
	if dir == "" {
		dir, other = filepath.Join("testdata", "vectors"), false
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) && other {
		t.Skipf("no %s in %s", file, dir)
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// near compares to a relative 1e-9, with 12 printed digits as the least size.
func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	nearTo(t, what, got, want, 1e-9)
}

func nearTo(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if d := math.Abs(got[i] - want[i]); !(d <= tolerance*math.Max(math.Abs(want[i]), 1e-2)) {
			t.Errorf("%s[%d]: %v, want %v", what, i, got[i], want[i])
		}
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func each[A, B any](x []A, f func(A) B) []B {
	out := make([]B, len(x))
	for i, v := range x {
		out[i] = f(v)
	}
	return out
}

func flatten[T any](x [][]T) []T { return slices.Concat(x...) }

func TestVectorsOfQuantizer(t *testing.T) {
	var v struct {
		Cases []struct {
			P         int
			M         float64
			W         []float64
			Q, U, Odd []int
			WHat      []float64 `json:"w_hat"`
			Step      float64
			MaxAbsErr float64   `json:"max_abs_err"`
			GradOut   []float64 `json:"grad_out"`
			GradIn    []float64 `json:"grad_in_ste"`
		}
		Ties []struct {
			P    int
			M    float64
			W    []float64
			Q    []int     `json:"q_floor_rule"`
			WHat []float64 `json:"w_hat_floor_rule"`
		}
	}
	readVectors(t, "soniq-quantizer.json", &v)
	for i, c := range v.Cases {
		name := fmt.Sprintf("case %d p=%d", i, c.P)
		q := each(c.W, func(w float64) int { return Code(w, c.M, c.P) })
		equal(t, name+" q", q, c.Q)
		near(t, name+" level", each(c.W, func(w float64) float64 { return Round(w, c.M, c.P) }), c.WHat)
		equal(t, name+" straight through", c.GradOut, c.GradIn)
		rounded := each(c.W, func(w float64) float32 { return float32(w) })
		rounder(len(rounded), c.P, c.M).Round(rounded)
		nearTo(t, name+" float32", each(rounded, func(w float32) float64 { return float64(w) }), c.WHat, 2e-5)
		if c.P == 8 {
			continue
		}
		equal(t, name+" u", each(q, func(q int) int { return int(Unsigned(q, c.P)) }), c.U)
		equal(t, name+" odd", each(q, func(q int) int { return Integer(q, c.P) }), c.Odd)
		near(t, name+" step", []float64{2 * Step(c.M, c.P)}, []float64{c.Step})
		for _, w := range c.W {
			if e := math.Abs(Round(w, c.M, c.P) - w); e > c.MaxAbsErr*(1+1e-12) {
				t.Errorf("%s: error %v of %v, want at most %v", name, e, w, c.MaxAbsErr)
			}
		}
	}
	for i, c := range v.Ties {
		name := fmt.Sprintf("ties %d p=%d", i, c.P)
		equal(t, name, each(c.W, func(w float64) int { return Code(w, c.M, c.P) }), c.Q)
		near(t, name+" level", each(c.W, func(w float64) float64 { return Round(w, c.M, c.P) }), c.WHat)
		r := rounder(1, c.P, c.M)
		equal(t, name+" float32", each(c.W, func(w float64) int { return int(r.Code(0, float32(w))) }), c.Q)
	}
}

// rounder is the one that training uses, for n columns of one scale.
func rounder(n, bits int, scale float64) *lowbit.Rounder {
	m := make([]float32, n)
	for i := range m {
		m[i] = float32(scale)
	}
	return lowbit.NewRounder(bits, m)
}

func TestVectorsOfRelaxation(t *testing.T) {
	var v struct {
		Map struct {
			S, Sigma []float64
			P        []float64 `json:"p_float"`
			Softplus []float64 `json:"softplus_bits"`
			Slope    []float64 `json:"d_bits_ds"`
			Init     []struct {
				P     float64 `json:"p_init"`
				S0    float64
				Sigma float64 `json:"sigma0"`
			}
		}
		Philox []struct {
			Ctr, Key, Out []string
			Eps           []float64
		}
	}
	readVectors(t, "soniq-noise.json", &v)
	near(t, "sigma", each(v.Map.S, Sigmoid), v.Map.Sigma)
	near(t, "p", each(v.Map.S, Bits), v.Map.P)
	near(t, "softplus", each(v.Map.S, Softplus), v.Map.Softplus)
	near(t, "slope", each(v.Map.S, Price), v.Map.Slope)
	for _, c := range v.Map.Init {
		near(t, "init", []float64{Variable(c.P), Sigmoid(Variable(c.P))}, []float64{c.S0, c.Sigma})
	}
	words := func(hex []string) (w [4]uint32) {
		for i, h := range hex {
			x, err := strconv.ParseUint(h, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			w[i] = uint32(x)
		}
		return w
	}
	for _, c := range v.Philox {
		k := words(c.Key)
		out := philox.Key{k[0], k[1]}.At(words(c.Ctr))
		if out != words(c.Out) {
			t.Errorf("philox: %x, want %v", out, c.Out)
		}
		near(t, "eps", each(out[:], Uniform), c.Eps)
		nearTo(t, "eps in float32", each(out[:], func(u uint32) float64 { return 2*float64(philox.Uniform(u)) - 1 }), c.Eps, 1e-5)
	}
}

// noiseCase is a layer [N][C] with kh·kw taps, seen as N rows of C·kh·kw.
type noiseCase struct {
	Mode      Noise
	Shape     [4]int  `json:"shape_NCHW"`
	Lambda    float64 `json:"lambda_"`
	W, Eps, X [][][][]float64
	S         []float64
	Target    [][]float64
	ScaleM    float64         `json:"scale_M"`
	Amplitude []float64       `json:"noise_amplitude_per_channel"`
	Noisy     [][][][]float64 `json:"w_noisy"`
	Y         [][]float64
	TaskLoss  float64         `json:"task_loss"`
	RegLoss   float64         `json:"reg_loss"`
	GradW     [][][][]float64 `json:"grad_w"`
	GradS     []float64       `json:"grad_s_task"`
	GradReg   []float64       `json:"grad_s_reg"`
	GradTotal []float64       `json:"grad_s_total"`
	Before    [][][][]float64 `json:"projection_input"`
	Projected [][][][]float64
}

// rowsOf flattens all but the first axis.
func rowsOf(x [][][][]float64) [][]float64 {
	return each(x, func(r [][][]float64) []float64 { return flatten(flatten(r)) })
}

func TestVectorsOfNoise(t *testing.T) {
	var v struct{ Cases []noiseCase }
	readVectors(t, "soniq-noise.json", &v)
	for i, c := range v.Cases {
		name := fmt.Sprintf("case %d %s", i, c.Mode)
		n, channels, taps := c.Shape[0], c.Shape[1], c.Shape[2]*c.Shape[3]
		w, eps, x := rowsOf(c.W), rowsOf(c.Eps), rowsOf(c.X)
		scale := 0.0
		for _, v := range flatten(w) {
			scale = math.Max(scale, math.Abs(v))
		}
		if c.Mode == NoiseCalibrated {
			near(t, name+" M", []float64{scale}, []float64{c.ScaleM})
		}
		near(t, name+" amplitude", each(c.S, func(s float64) float64 { return c.Mode.Amplitude(s, scale) }), c.Amplitude)
		noisy, grad := make([][]float64, n), make([][]float64, n)
		for r := range n {
			noisy[r], grad[r] = make([]float64, channels*taps), make([]float64, channels*taps)
			for k := range noisy[r] {
				noisy[r][k] = w[r][k] + c.Mode.Amplitude(c.S[k/taps], scale)*eps[r][k]
			}
		}
		near(t, name+" noisy", flatten(noisy), flatten(rowsOf(c.Noisy)))
		loss := 0.0
		for b := range x {
			y := make([]float64, n)
			for r := range n {
				for k, w := range noisy[r] {
					y[r] += w * x[b][k]
				}
				d := y[r] - c.Target[b][r]
				loss += d * d / 2 / float64(len(x))
				for k := range grad[r] {
					grad[r][k] += d * x[b][k] / float64(len(x))
				}
			}
			near(t, name+" y", y, c.Y[b])
		}
		near(t, name+" loss", []float64{loss}, []float64{c.TaskLoss})
		near(t, name+" dw", flatten(grad), flatten(rowsOf(c.GradW)))
		price, reg := c.Lambda*float64(n*taps), 0.0
		for ch, s := range c.S {
			sum := 0.0
			for r := range n {
				for k := ch * taps; k < (ch+1)*taps; k++ {
					sum += c.Mode.base(scale) * eps[r][k] * grad[r][k]
				}
			}
			reg += price * Softplus(s)
			near(t, name+" ds", []float64{Slope(s, sum), price * Price(s), Slope(s, sum) + price*Price(s)},
				[]float64{c.GradS[ch], c.GradReg[ch], c.GradTotal[ch]})
		}
		near(t, name+" price", []float64{reg}, []float64{c.RegLoss})
		before, after := rowsOf(c.Before), rowsOf(c.Projected)
		for r := range before {
			for k, w := range before[r] {
				l := Limit(c.S[k/taps])
				near(t, name+" projection", []float64{math.Max(-l, math.Min(l, w))}, []float64{after[r][k]})
			}
		}
	}
}

func TestVectorsOfActivations(t *testing.T) {
	var v struct {
		Pact []struct {
			Alpha                  float64
			X, Eps, Clipped, Noisy [][]float64
			S                      []float64
			P                      []int `json:"p_floor"`
			Code                   [][]int
			XHat                   [][]float64 `json:"x_hat"`
			GradOut                [][]float64 `json:"grad_out"`
			GradX                  [][]float64 `json:"grad_x"`
			GradAlpha              float64     `json:"grad_alpha_clip_only"`
			GradS                  []float64   `json:"grad_s"`
		}
		Symmetric []struct {
			Bits  int
			X     []float64
			Amax  float64
			Delta float64
			Code  []int
			XHat  []float64 `json:"x_hat"`
		}
	}
	readVectors(t, "soniq-act.json", &v)
	for i, c := range v.Pact {
		name := fmt.Sprintf("pact %d", i)
		equal(t, name+" bits", each(c.S, WholeBits), c.P)
		dalpha, ds := 0.0, make([]float64, len(c.S))
		for r, row := range c.X {
			for k, x := range row {
				clipped := Clip(x, c.Alpha)
				code := ClipCode(clipped, c.Alpha, c.P[k])
				dx, da := ClipGrad(x, c.Alpha, c.GradOut[r][k])
				dalpha += da
				ds[k] += c.GradOut[r][k] * BlurSlope(c.Alpha, c.S[k], c.Eps[r][k])
				near(t, name, []float64{clipped, Blur(clipped, c.Alpha, c.S[k], c.Eps[r][k]), ClipLevel(code, c.Alpha, c.P[k]), dx},
					[]float64{c.Clipped[r][k], c.Noisy[r][k], c.XHat[r][k], c.GradX[r][k]})
				if code != c.Code[r][k] {
					t.Errorf("%s: code %d at %d,%d, want %d", name, code, r, k, c.Code[r][k])
				}
			}
		}
		near(t, name+" dalpha", []float64{dalpha}, []float64{c.GradAlpha})
		near(t, name+" ds", ds, c.GradS)
	}
	for i, c := range v.Symmetric {
		name := fmt.Sprintf("symmetric %d", i)
		codes, delta := Symmetric(c.X, c.Bits)
		equal(t, name, codes, c.Code)
		near(t, name+" delta", []float64{delta, delta * float64(lowbit.Largest(c.Bits))}, []float64{c.Delta, c.Amax})
		near(t, name+" level", each(codes, func(q int) float64 { return delta * float64(q) }), c.XHat)
		got := make([]int8, len(c.X))
		d32 := lowbit.Quantize(got, each(c.X, func(x float64) float32 { return float32(x) }), c.Bits)
		equal(t, name+" float32", each(got, func(q int8) int { return int(q) }), c.Code)
		nearTo(t, name+" float32 delta", []float64{float64(d32)}, []float64{c.Delta}, 2e-5)
	}
}

func TestVectorsOfSelection(t *testing.T) {
	var v struct {
		Cases []struct {
			C, G     int
			M        float64
			S        []float64
			PF       []float64 `json:"p_float"`
			Floor    []int     `json:"p_floor_min1"`
			Thr3     []int     `json:"published_421_thr3"`
			Thr2     []int     `json:"published_421_thr2"`
			TwoLevel struct {
				Lo   int   `json:"p_lo"`
				Hi   *int  `json:"p_hi"`
				High []int `json:"hi_channels"`
				Perm []int
				Mean float64 `json:"bits_per_channel_avg"`
			} `json:"two_level"`
		}
	}
	readVectors(t, "soniq-select.json", &v)
	for i, c := range v.Cases {
		name := fmt.Sprintf("case %d", i)
		pf := each(c.S, func(s float64) float64 { return Relaxed(s, Normal(c.M)) })
		near(t, name+" pf", pf, c.PF)
		equal(t, name+" floor", each(pf, Floor), c.Floor)
		equal(t, name+" 421", each(pf, func(p float64) int { return Published421(p, 3) }), c.Thr3)
		equal(t, name+" 421 accurate", each(pf, func(p float64) int { return Published421(p, 2) }), c.Thr2)
		l := TwoLevels(pf, c.G)
		hi := 0
		if c.TwoLevel.Hi != nil {
			hi = *c.TwoLevel.Hi
		}
		if l.Lo != c.TwoLevel.Lo || l.Hi != hi {
			t.Errorf("%s: levels %d and %d, want %d and %d", name, l.Lo, l.Hi, c.TwoLevel.Lo, hi)
		}
		equal(t, name+" high", l.High, c.TwoLevel.High)
		equal(t, name+" perm", l.Perm, c.TwoLevel.Perm)
		near(t, name+" mean", []float64{l.Mean()}, []float64{c.TwoLevel.Mean})
	}
}

// codes reads one hex digit a code.
func codes(t *testing.T, rows []string) (u []byte) {
	t.Helper()
	for _, r := range rows {
		for _, d := range r {
			x, err := strconv.ParseUint(string(d), 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			u = append(u, byte(x))
		}
	}
	return u
}

func TestVectorsOfPacking(t *testing.T) {
	var v struct {
		CPU []struct {
			P, N, K int
			U       []string
			Packed  string `json:"packed_hex"`
			A       [][]int8
			Acc     [][]int32 `json:"acc_u"`
			A1      []int32
			R       []int32
			Dot     [][]int32 `json:"dot_odd"`
			Offset  [][]int32 `json:"dot_odd_if_activation_offset_128"`
		}
		GPU []struct {
			P, N, K int
			U       []string
			Words   []string `json:"words_hex"`
		}
	}
	readVectors(t, "soniq-pack.json", &v)
	for i, c := range v.CPU {
		name := fmt.Sprintf("cpu %d p=%d", i, c.P)
		u := codes(t, c.U)
		if got := hex.EncodeToString(lowbit.Pack(c.P, c.N, c.K, u)); got != c.Packed {
			t.Errorf("%s: packed %.40s…, want %.40s…", name, got, c.Packed)
		}
		m, err := lowbit.NewMatrix(c.P, c.N, c.K, 8, u)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name+" R", m.RowSums, c.R)
		x := lowbit.NewTokens(len(c.A), m.Stride())
		for b, a := range c.A {
			copy(x.Row(b), a)
		}
		x.Sum(0, x.N)
		equal(t, name+" A1", x.Sums, c.A1)
		for what, dots := range map[string]func(dst []int32){
			"kernel": func(dst []int32) { m.Dots(dst, x, 0, x.N, 0, m.N, new(lowbit.Space)) },
			"oracle": func(dst []int32) { m.DotsPortable(dst, x, 0, x.N) },
		} {
			dst := make([]int32, x.N*c.N)
			dots(dst)
			equal(t, name+" "+what, dst, flatten(c.Dot))
			for b := range c.A {
				for r := range c.N {
					at := b*c.N + r
					if acc := (dst[at] + int32(1<<c.P-1)*x.Sums[b]) / 2; acc != c.Acc[b][r] {
						t.Errorf("%s %s: sum of codes %d, want %d", name, what, acc, c.Acc[b][r])
					}
					if off := dst[at] + 128*m.RowSums[r]; off != c.Offset[b][r] {
						t.Errorf("%s %s: of activations raised by 128 %d, want %d", name, what, off, c.Offset[b][r])
					}
				}
			}
		}
	}
	for i, c := range v.GPU {
		words, err := lowbit.Fragments(c.P, c.N, c.K, codes(t, c.U))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("gpu %d p=%d", i, c.P), each(words, func(w uint32) string { return fmt.Sprintf("%08x", w) }), c.Words)
	}
}

func TestVectorsOfTables(t *testing.T) {
	var v struct {
		Cases []struct {
			P, N, K int
			Tile    int `json:"row_tile"`
			Group   int `json:"group_k"`
			Bias    int `json:"T_bias"`
			U       []string
			A       []int8
			Tables  [][]int `json:"tables_first4"`
			Packed  string  `json:"packed_hex"`
			Dot     []int32 `json:"dot_odd"`
		}
	}
	readVectors(t, "soniq-lut.json", &v)
	for i, c := range v.Cases {
		name := fmt.Sprintf("case %d p=%d", i, c.P)
		equal(t, name+" group and bias", []int{lowbit.Group(c.P), lowbit.TableBias(c.P)}, []int{c.Group, c.Bias})
		tab := lowbit.Tables(c.P, c.A)
		for g, want := range c.Tables {
			equal(t, name+" table", each(tab[16*g:][:16], func(b byte) int { return int(b) }), want)
		}
		u := codes(t, c.U)
		if got := hex.EncodeToString(lowbit.PackTables(c.P, c.N, c.K, c.Tile, u)); got != c.Packed {
			t.Errorf("%s: packed %.40s…, want %.40s…", name, got, c.Packed)
		}
		m, err := lowbit.NewMatrix(c.P, c.N, c.K, 4, u)
		if err != nil {
			t.Fatal(err)
		}
		x := lowbit.NewTokens(1, m.Stride())
		copy(x.Row(0), c.A)
		x.Sum(0, 1)
		dst := make([]int32, c.N)
		m.Dots(dst, x, 0, 1, 0, c.N, new(lowbit.Space))
		equal(t, name+" dot", dst, c.Dot)
	}
}
