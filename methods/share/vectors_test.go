package share

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/methods/share/grid"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

type matrixJSON = [][]float64

// vectors are the reference values of a file; its conventions are in it.
type vectors struct {
	Name string
	Bank []struct {
		ID        string
		Templates []any
		Alpha     matrixJSON
		W         []any
		GradW     []any      `json:"grad_W"`
		GradT     []any      `json:"grad_templates"`
		GradAlpha matrixJSON `json:"grad_alpha"`
	}
	Orthogonal []struct{ Gaussian, Q matrixJSON }
	LSM        []struct {
		Alpha, S matrixJSON
		Grad     matrixJSON `json:"grad_of_sum"`
	}
	Fold []struct {
		Alpha          matrixJSON
		Threshold      float64
		Cluster        []int
		Representative matrixJSON
		Scale          []float64
		RelativeError  []float64 `json:"relative_error"`
	}
	Loops []struct {
		Sequence []int
		Loops    []Loop[int]
	}
	Training []trainingCase
	Grids    []struct {
		N                 int
		Query             [2][2]int
		Obstacles, Target []string
		Length            int
		Count             int `json:"target_count"`
	}
	Params []struct {
		Model   string
		Classes int
		Params  int
	} `json:"param_counts"`
}

type trainingCase struct {
	ID    string
	Setup struct {
		Templates    []matrixJSON
		Alpha, X, Y  matrixJSON
		LR, Momentum float64
		Nesterov     bool
		DecayT       float64 `json:"weight_decay_templates"`
		DecayA       float64 `json:"weight_decay_alpha"`
		Lambda       float64 `json:"lambda_R"`
		Steps        int
	}
	Steps []struct {
		Task      float64    `json:"task_loss_before"`
		Loss      float64    `json:"loss_before"`
		LSM       matrixJSON `json:"lsm_before"`
		Templates []matrixJSON
		Alpha     matrixJSON
	}
}

func load(t *testing.T) vectors {
	t.Helper()
	dir := os.Getenv("ESPALIER_VECTORS")
	if dir == "" {
		dir = filepath.Join("testdata", "vectors")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), `"parameter-sharing"`) {
			continue
		}
		var v vectors
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		return v
	}
	if os.Getenv("ESPALIER_VECTORS") == "" {
		t.Fatalf("no vectors of parameter sharing in %s", dir)
	}
	t.Skipf("no vectors of parameter sharing in %s", dir)
	return vectors{}
}

// flatten lists the numbers of nested lists.
func flatten(x any) (out []float64) {
	switch x := x.(type) {
	case float64:
		return []float64{x}
	case []any:
		for _, e := range x {
			out = append(out, flatten(e)...)
		}
	case []float64:
		return x
	case matrixJSON:
		for _, e := range x {
			out = append(out, e...)
		}
	case []matrixJSON:
		for _, e := range x {
			out = append(out, flatten(e)...)
		}
	}
	return out
}

func rows(x []any) (m matrixJSON) {
	for _, e := range x {
		m = append(m, flatten(e))
	}
	return m
}

// near compares to a relative 1e-9 of the largest wanted value.
func near(t *testing.T, what string, got, want any) {
	t.Helper()
	g, w := flatten(got), flatten(want)
	if len(g) != len(w) || len(w) == 0 {
		t.Fatalf("%s: %d values, want %d", what, len(g), len(w))
	}
	size := 1e-3
	for _, v := range w {
		size = max(size, math.Abs(v))
	}
	for i := range w {
		if !(math.Abs(g[i]-w[i]) <= 1e-9*size) {
			t.Fatalf("%s: value %d is %.17g, want %.17g", what, i, g[i], w[i])
		}
	}
}

func TestMixMatchesVectors(t *testing.T) {
	for _, c := range load(t).Bank {
		tm, gw := rows(c.Templates), rows(c.GradW)
		near(t, c.ID+" W", Mix(c.Alpha, tm), rows(c.W))
		dt, da := Unmix(c.Alpha, tm, gw)
		near(t, c.ID+" gradient of templates", dt, rows(c.GradT))
		near(t, c.ID+" gradient of alpha", da, c.GradAlpha)
	}
}

func TestOrthogonalMatchesVectors(t *testing.T) {
	for _, c := range load(t).Orthogonal {
		m := flatten(c.Gaussian)
		graph.Orthogonal(m, len(c.Gaussian))
		near(t, "orthogonal", m, c.Q)
	}
}

func TestSimilarityMatchesVectors(t *testing.T) {
	for _, c := range load(t).LSM {
		near(t, "similarity", Similarity(c.Alpha), c.S)
		sum, grad := Recurrence(c.Alpha)
		near(t, "sum", []float64{sum}, []float64{total(c.S)})
		near(t, "gradient", grad, c.Grad)
	}
}

func total(m matrixJSON) (sum float64) {
	for _, v := range flatten(m) {
		sum += v
	}
	return sum
}

func TestFoldMatchesVectors(t *testing.T) {
	for _, c := range load(t).Fold {
		f := Fold(c.Alpha, c.Threshold)
		for l := range c.Cluster {
			if f.Cluster[l] != c.Cluster[l] {
				t.Fatalf("at %v: clusters %v, want %v", c.Threshold, f.Cluster, c.Cluster)
			}
		}
		near(t, "representative", f.Representative, c.Representative)
		near(t, "scale", f.Scale, c.Scale)
		near(t, "error", f.Error, c.RelativeError)
	}
}

func TestLoopsMatchVectors(t *testing.T) {
	for _, c := range load(t).Loops {
		if got, want := Text(Loops(c.Sequence)), Text(c.Loops); got != want {
			t.Errorf("%v: %s, want %s", c.Sequence, got, want)
		}
	}
}

// chain is the residual chain of the training vectors: h += relu(h W_lᵀ).
// It returns the task's loss and the gradients of the layers' weights.
func chain(w []matrixJSON, x, y matrixJSON) (loss float64, grad matrixJSON) {
	n, d := len(x), len(x[0])
	h := []matrixJSON{x}
	for _, m := range w {
		in := h[len(h)-1]
		out := zeros(n, d)
		for i := range n {
			for o := range d {
				out[i][o] = in[i][o] + max(0, dot(m[o], in[i]))
			}
		}
		h = append(h, out)
	}
	g := zeros(n, d)
	for i := range n {
		for o := range d {
			off := h[len(w)][i][o] - y[i][o]
			loss += off * off / (2 * float64(n))
			g[i][o] = off / float64(n)
		}
	}
	grad = zeros(len(w), d*d)
	for l := len(w) - 1; l >= 0; l-- {
		before := zeros(n, d)
		for i := range n {
			copy(before[i], g[i])
			for o := range d {
				if dot(w[l][o], h[l][i]) <= 0 {
					continue
				}
				for k := range d {
					grad[l][o*d+k] += g[i][o] * h[l][i][k]
					before[i][k] += g[i][o] * w[l][o][k]
				}
			}
		}
		g = before
	}
	return loss, grad
}

// TestTrainingMatchesVectors follows SGD with Nesterov momentum on templates
// and coefficients with this package's gradients.
func TestTrainingMatchesVectors(t *testing.T) {
	for _, c := range load(t).Training {
		s := c.Setup
		var tm matrixJSON
		for _, m := range s.Templates {
			tm = append(tm, flatten(m))
		}
		alpha, d := s.Alpha, len(s.X[0])
		vt, va := zeros(len(tm), d*d), zeros(len(alpha), len(tm))
		for _, want := range c.Steps {
			var w []matrixJSON
			for _, flat := range Mix(alpha, tm) {
				m := matrixJSON{}
				for o := range d {
					m = append(m, flat[o*d:(o+1)*d])
				}
				w = append(w, m)
			}
			loss, gw := chain(w, s.X, s.Y)
			sum, push := Recurrence(alpha)
			near(t, c.ID+" task loss", []float64{loss}, []float64{want.Task})
			near(t, c.ID+" loss", []float64{loss - s.Lambda*sum}, []float64{want.Loss})
			near(t, c.ID+" similarity", Similarity(alpha), want.LSM)
			dt, da := Unmix(alpha, tm, gw)
			for l := range da {
				for j := range da[l] {
					da[l][j] -= s.Lambda * push[l][j]
				}
			}
			nesterov(tm, dt, vt, s.LR, s.Momentum, s.DecayT)
			nesterov(alpha, da, va, s.LR, s.Momentum, s.DecayA)
			near(t, c.ID+" templates", tm, want.Templates)
			near(t, c.ID+" alpha", alpha, want.Alpha)
		}
	}
}

func nesterov(p, g, v matrixJSON, rate, momentum, decay float64) {
	for i := range p {
		for j := range p[i] {
			d := g[i][j] + decay*p[i][j]
			v[i][j] = momentum*v[i][j] + d
			p[i][j] -= rate * (d + momentum*v[i][j])
		}
	}
}

func TestGridsMatchVectors(t *testing.T) {
	for _, c := range load(t).Grids {
		g := grid.Grid{Size: c.N, A: c.Query[0][0]*c.N + c.Query[0][1], B: c.Query[1][0]*c.N + c.Query[1][1]}
		for _, line := range c.Obstacles {
			for _, r := range line {
				g.Obstacle = append(g.Obstacle, r == '#')
			}
		}
		length, target, ok, err := g.Solve()
		if !ok || err != nil || length != c.Length {
			t.Fatalf("length %d (%v, %v), want %d", length, ok, err, c.Length)
		}
		count := 0
		for i, want := range strings.Join(c.Target, "") {
			if target[i] != (want == 'x') {
				t.Errorf("cell %d: on a shortest path = %v", i, target[i])
			}
			if target[i] {
				count++
			}
		}
		if count != c.Count {
			t.Errorf("%d cells, want %d", count, c.Count)
		}
	}
}

func TestParameterCountsMatchVectors(t *testing.T) {
	for _, c := range load(t).Params {
		g, err := models.Trace(models.Spec{Name: strings.ToLower(c.Model), Height: 32, Width: 32, Channels: 3, Classes: c.Classes}, graph.Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.ParamCount(); got != c.Params {
			t.Errorf("%s, %d classes: %d parameters, want %d", c.Model, c.Classes, got, c.Params)
		}
	}
}
