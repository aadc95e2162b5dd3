package convergence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Read reads the cases of all files of a folder whose form it knows; others
// have none. A case that it cannot make sense of is an error.
func Read(dir string) ([]Case, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Case
	for _, n := range names {
		cs, err := readFile(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		all = append(all, cs...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no trajectories of optimizers in its %d files", dir, len(names))
	}
	return all, nil
}

// rawCase is a case as it is written; the second half is the other form, of a
// list of gradients with two trajectories.
type rawCase struct {
	ID        string            `json:"id"`
	Optimizer string            `json:"optimizer"`
	Mode      string            `json:"mode"`
	Hyper     json.RawMessage   `json:"hyper"`
	Groups    []json.RawMessage `json:"groups"`
	Problem   rawProblem        `json:"problem"`
	X0        []float64         `json:"x0"`
	Tensors   []struct {
		Start, Len, Group int
	} `json:"tensors"`
	Rates  []float64   `json:"lr_per_step"`
	Bounds *BoundsSpec `json:"bounds"`
	Box    []float64   `json:"box"`
	Steps  []rawStep   `json:"steps"`

	LR          float64     `json:"lr"`
	Beta1       float64     `json:"beta1"`
	Beta2       float64     `json:"beta2"`
	Eps         float64     `json:"eps"`
	WeightDecay float64     `json:"weight_decay"`
	P0          []float64   `json:"p0"`
	Grads       [][]float64 `json:"grads"`
	Published   []rawPoint  `json:"published_code_form"`
	Consistent  []rawPoint  `json:"consistent_form"`
}

type rawProblem struct {
	Type  string      `json:"type"`
	A     [][]float64 `json:"A"`
	B     []float64   `json:"b"`
	Grads [][]float64 `json:"grads"`
	C     float64     `json:"C"`
	Draws []bool      `json:"draws"`
}

type rawStep struct {
	T      int                  `json:"t"`
	X      []float64            `json:"x"`
	M      []float64            `json:"m"`
	V      []float64            `json:"v"`
	VMax   []float64            `json:"vmax"`
	Next   map[string]float64   `json:"gamma_for_next_step"`
	Used   map[string]float64   `json:"gamma_used"`
	Bounds map[string][]float64 `json:"bounds"`
	Eta    map[string][]float64 `json:"eta"`
	EtaHat map[string][]float64 `json:"eta_hat"`
}

type rawPoint struct {
	T     int       `json:"t"`
	P     []float64 `json:"p"`
	Gamma *float64  `json:"gamma"`
}

func readFile(name string) ([]Case, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var f struct {
		Cases []json.RawMessage `json:"cases"`
	}
	if json.Unmarshal(b, &f) != nil {
		return nil, nil // another form
	}
	var all []Case
	for i, raw := range f.Cases {
		var form map[string]json.RawMessage
		if json.Unmarshal(raw, &form) != nil {
			continue
		}
		one, two := form["optimizer"] != nil && form["steps"] != nil, form["published_code_form"] != nil || form["consistent_form"] != nil
		if !one && !two {
			continue
		}
		var r rawCase
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("case %d: %w", i, err)
		}
		if r.ID == "" {
			r.ID = fmt.Sprint(i)
		}
		cs, err := r.cases()
		if err != nil {
			return nil, fmt.Errorf("case %s: %w", r.ID, err)
		}
		for k := range cs {
			cs[k].File = filepath.Base(name)
		}
		all = append(all, cs...)
	}
	return all, nil
}

func (r *rawCase) cases() ([]Case, error) {
	if r.Steps != nil {
		c, err := r.trajectory()
		return []Case{c}, errors.Join(err, c.check())
	}
	var cs []Case
	for _, form := range []struct {
		mode   Mode
		points []rawPoint
	}{{Official, r.Published}, {Fresh, r.Consistent}} {
		if form.points == nil {
			continue
		}
		c := Case{ID: r.ID + " " + string(form.mode), Optimizer: "avagrad", Mode: string(form.mode), X0: r.P0,
			Groups:   []Group{{Hyper: Hyper{LR: r.LR, Beta1: r.Beta1, Beta2: r.Beta2, Eps: r.Eps, WeightDecay: r.WeightDecay}, Index: "0", Tensors: [][2]int{{0, len(r.P0)}}}},
			Gradient: listed(r.Grads)}
		for _, p := range form.points {
			s := CaseStep{T: p.T, X: p.P}
			if p.Gamma != nil {
				s.Gamma = map[string]float64{"0": *p.Gamma}
			}
			c.Steps = append(c.Steps, s)
		}
		if err := errors.Join(c.check(), enough(r.Grads, len(c.Steps), len(r.P0))); err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	return cs, nil
}

func (r *rawCase) trajectory() (Case, error) {
	c := Case{ID: r.ID, Optimizer: r.Optimizer, Mode: r.Mode, X0: r.X0, Rates: r.Rates, Bounds: r.Bounds, Box: r.Box}
	over := r.Groups
	if len(over) == 0 {
		over = []json.RawMessage{[]byte("{}")}
	}
	for i, o := range over {
		g := Group{Index: fmt.Sprint(i)}
		for _, part := range []json.RawMessage{r.Hyper, o} {
			d := json.NewDecoder(bytes.NewReader(part))
			d.DisallowUnknownFields()
			if err := d.Decode(&g.Hyper); err != nil {
				return c, fmt.Errorf("hyper-parameters: %w", err)
			}
		}
		switch len(g.Betas) {
		case 0:
		case 2:
			g.Beta1, g.Beta2 = g.Betas[0], g.Betas[1]
		default:
			return c, fmt.Errorf("betas %v: want two", g.Betas)
		}
		c.Groups = append(c.Groups, g)
	}
	for _, t := range r.Tensors {
		if t.Group < 0 || t.Group >= len(c.Groups) {
			return c, fmt.Errorf("tensor of group %d, there are %d groups", t.Group, len(c.Groups))
		}
		g := &c.Groups[t.Group]
		g.Tensors = append(g.Tensors, [2]int{t.Start, t.Len})
	}
	for _, s := range r.Steps {
		to := CaseStep{T: s.T, X: s.X, M: s.M, V: s.V, VMax: s.VMax, Gamma: s.Next, Bounds: s.Bounds, Eta: s.Eta}
		if s.Next == nil {
			to.Gamma = s.Used
		}
		if s.Eta == nil {
			to.Eta = s.EtaHat
		}
		c.Steps = append(c.Steps, to)
	}
	var err error
	c.Gradient, err = r.Problem.gradient(len(r.X0), len(r.Steps))
	return c, err
}

func (p *rawProblem) gradient(n, steps int) (func(t int, x, g []float64), error) {
	switch p.Type {
	case "quadratic": // Ax - b
		if len(p.A) != n || len(p.B) != n || slices.ContainsFunc(p.A, func(row []float64) bool { return len(row) != n }) {
			return nil, fmt.Errorf("quadratic of %d rows, x has %d entries", len(p.A), n)
		}
		return func(_ int, x, g []float64) {
			for i, row := range p.A {
				g[i] = -p.B[i]
				for j, a := range row {
					g[i] += a * x[j]
				}
			}
		}, nil
	case "grad_sequence":
		return listed(p.Grads), enough(p.Grads, steps, n)
	case "reddi_draws":
		if len(p.Draws) < steps {
			return nil, fmt.Errorf("%d draws for %d steps", len(p.Draws), steps)
		}
		return func(t int, _, g []float64) {
			for i := range g {
				g[i] = -1
				if p.Draws[t-1] {
					g[i] = p.C
				}
			}
		}, nil
	}
	return nil, fmt.Errorf("problem %q: want quadratic, grad_sequence or reddi_draws", p.Type)
}

func listed(grads [][]float64) func(t int, x, g []float64) {
	return func(t int, _, g []float64) { copy(g, grads[t-1]) }
}

func enough(grads [][]float64, steps, n int) error {
	if len(grads) < steps || slices.ContainsFunc(grads, func(g []float64) bool { return len(g) != n }) {
		return fmt.Errorf("%d gradients, want %d of %d numbers", len(grads), steps, n)
	}
	return nil
}
