package share

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// gaussian is a matrix of normal numbers.
func gaussian(seed uint64, rows, cols int) [][]float64 {
	m := zeros(rows, cols)
	for i := range m {
		for j := range m[i] {
			m[i][j] = float64(philox.Normals(philox.NewKey(seed, "test").At(philox.Counter{uint32(i), uint32(j)}))[0])
		}
	}
	return m
}

// The coefficients of a bank start with orthonormal columns, or rows where
// there are fewer of them.
func TestOrthogonalStart(t *testing.T) {
	for _, s := range [][2]int{{6, 3}, {3, 6}, {5, 5}, {4, 1}} {
		l, k := s[0], s[1]
		flat := flatten(gaussian(1, l, k))
		graph.Orthogonal(flat, l)
		n := min(l, k)
		for a := range n {
			for b := range n {
				sum := 0.0
				for i := range max(l, k) {
					if l >= k {
						sum += flat[i*k+a] * flat[i*k+b]
					} else {
						sum += flat[a*k+i] * flat[b*k+i]
					}
				}
				want := 0.0
				if a == b {
					want = 1
				}
				if math.Abs(sum-want) > 1e-12 {
					t.Errorf("%d x %d: product of vectors %d and %d is %v, want %v", l, k, a, b, sum, want)
				}
			}
		}
	}
}

func TestSimilarityIsOfDirections(t *testing.T) {
	a := gaussian(2, 5, 3)
	s := Similarity(a)
	scaled := gaussian(2, 5, 3)
	for i, f := range []float64{2, -1, 0.5, -3, 1} {
		for j := range scaled[i] {
			scaled[i][j] *= f
		}
	}
	near(t, "similarity of scaled rows", Similarity(scaled), s)
	for i := range s {
		for j := range s {
			if s[i][j] != s[j][i] || s[i][j] < 0 || s[i][j] > 1 || i == j && s[i][j] != 1 {
				t.Errorf("S[%d][%d] = %v", i, j, s[i][j])
			}
		}
	}
	near(t, "one template", Similarity(gaussian(3, 4, 1)), [][]float64{{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1}})
}

// Mixing the templates by an invertible matrix changes no weight, but what
// similarity sees.
func TestSimilarityDependsOnTheChart(t *testing.T) {
	alpha, tm := gaussian(4, 4, 2), gaussian(5, 2, 6)
	// T' = M⁻¹T and α' = αM with M = [[1 1][0 2]].
	mixed, inverse := zeros(4, 2), zeros(2, 6)
	for l, r := range alpha {
		mixed[l][0], mixed[l][1] = r[0], r[0]+2*r[1]
	}
	for i := range tm[0] {
		inverse[1][i] = tm[1][i] / 2
		inverse[0][i] = tm[0][i] - inverse[1][i]
	}
	near(t, "weights", Mix(mixed, inverse), Mix(alpha, tm))
	if a, b := Similarity(alpha), Similarity(mixed); math.Abs(a[0][1]-b[0][1]) < 1e-3 {
		t.Errorf("similarity %v did not change", a[0][1])
	}
}

func TestRecurrenceGradient(t *testing.T) {
	alpha := gaussian(6, 4, 3)
	_, g := Recurrence(alpha)
	for i := range alpha {
		if d := dot(g[i], alpha[i]); math.Abs(d) > 1e-12 {
			t.Errorf("gradient of row %d is not orthogonal to it: %v", i, d)
		}
		for k := range alpha[i] {
			const h = 1e-6
			v := alpha[i][k]
			alpha[i][k] = v + h
			up, _ := Recurrence(alpha)
			alpha[i][k] = v - h
			down, _ := Recurrence(alpha)
			alpha[i][k] = v
			if n := (up - down) / (2 * h); math.Abs(n-g[i][k]) > 1e-6 {
				t.Errorf("gradient [%d][%d] is %v, numerically %v", i, k, g[i][k], n)
			}
		}
	}
}

// Layers that are one up to their scale fold without loss; with a threshold
// above 1 nothing does.
func TestFoldTensors(t *testing.T) {
	alpha := []float32{1, 2, -2, -4, 0.5, 1, 1, 2}
	tensors := []checkpoint.Tensor{
		checkpoint.Float32s("a.bank.templates", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}),
		checkpoint.Float32s("a.bank.coefficients", []int{4, 2}, alpha),
		checkpoint.Float32s("other", []int{1}, []float32{7}),
	}
	weights := func(ts []checkpoint.Tensor) [][]float64 {
		tm, c := make([]float32, product(ts[0].Shape)), make([]float32, product(ts[1].Shape))
		if err := ts[0].CopyFloat32s(tm); err != nil {
			t.Fatal(err)
		}
		if err := ts[1].CopyFloat32s(c); err != nil {
			t.Fatal(err)
		}
		k := ts[0].Shape[0]
		return Mix(matrix(c, k), matrix(tm, len(tm)/k))
	}
	want := weights(tensors)
	for _, tau := range []float64{0.99, 1.5} {
		out, report, err := FoldTensors(tensors, tau)
		if err != nil {
			t.Fatal(err)
		}
		got := weights(out)
		for l := range want {
			for i := range want[l] {
				if math.Abs(got[l][i]-want[l][i]) > 1e-5*math.Abs(want[l][i]) {
					t.Errorf("tau %v: weight %d of layer %d is %v, want %v", tau, i, l, got[l][i], want[l][i])
				}
			}
		}
		b := report[0]
		if tau < 1 && (out[0].Shape[0] != 1 || b.Loops != "2x([0 0])" || b.After != 3+4 || b.Before != 6+8) {
			t.Errorf("folded to %v: %+v", out[0].Shape, b)
		}
		if tau > 1 && out[0].Shape[0] != 2 {
			t.Errorf("tau %v merged layers: %v", tau, out[0].Shape)
		}
	}
	if _, _, err := FoldTensors(tensors[2:], 0.9); err == nil {
		t.Error("a network without banks was folded")
	}
	if _, _, err := FoldTensors([]checkpoint.Tensor{tensors[0], checkpoint.Float32s("a.bank.coefficients", []int{2, 3}, make([]float32, 6))}, 0.9); err == nil {
		t.Error("coefficients of another bank were folded")
	}
}

func TestLoopsCoverTheSequence(t *testing.T) {
	for n := range 200 {
		seq := make([]int, n%17)
		for i := range seq {
			seq[i] = int(philox.NewKey(uint64(n), "loops").At(philox.Counter{uint32(i)})[0] % 3)
		}
		var back []int
		for _, l := range Loops(seq) {
			for range l.Count {
				back = append(back, l.Body...)
			}
		}
		if len(back) != len(seq) {
			t.Fatalf("%v unrolls to %v", seq, back)
		}
		for i := range seq {
			if back[i] != seq[i] {
				t.Fatalf("%v unrolls to %v", seq, back)
			}
		}
	}
}
