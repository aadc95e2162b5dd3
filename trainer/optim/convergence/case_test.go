package convergence

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vectors is the folder of published trajectories; ESPALIER_VECTORS names
// another.
func vectors() string {
	if dir := os.Getenv("ESPALIER_VECTORS"); dir != "" {
		return dir
	}
	return filepath.Join("..", "testdata", "vectors")
}

// replay runs a case with the rules in float64 and calls each after every
// step with the groups' rules.
func replay(t *testing.T, c Case, each func(s CaseStep, x []float64, rules []Rule)) {
	x, g := append([]float64(nil), c.X0...), make([]float64, len(c.X0))
	rules := make([]Rule, len(c.Groups))
	for i := range c.Groups {
		var err error
		if rules[i], err = c.Rule(&c.Groups[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Steps {
		c.Gradient(s.T, x, g)
		for i := range c.Groups {
			group := &c.Groups[i]
			part, grad := group.Pick(x), group.Pick(g)
			rules[i].Step(part, grad, c.Rate(group, s.T))
			group.Put(x, part)
		}
		if c.Box != nil {
			for i, v := range x {
				x[i] = min(max(v, c.Box[0]), c.Box[1])
			}
		}
		each(s, x, rules)
	}
}

func TestRulesFollowPublishedTrajectories(t *testing.T) {
	cases, err := Read(vectors())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.File+"/"+c.ID, func(t *testing.T) {
			replay(t, c, func(s CaseStep, x []float64, rules []Rule) {
				near := func(what string, got, want []float64) {
					if at, by := Far(got, want, 1e-9, 1e-12); by > 0 {
						t.Fatalf("step %d: %s[%d] is %.15g, want %.15g", s.T, what, at, got[at], want[at])
					}
				}
				near("x", x, s.X)
				for i, r := range rules {
					checkState(&c.Groups[i], r, s, near)
				}
			})
		})
	}
}

// checkState compares what a case tells of a rule's state.
func checkState(g *Group, r Rule, s CaseStep, near func(what string, got, want []float64)) {
	moments := func(m *Moments) {
		if s.M != nil {
			near("m", m.M, g.Pick(s.M))
		}
		if s.V != nil {
			near("v", m.V, g.Pick(s.V))
		}
	}
	switch r := r.(type) {
	case *SGD:
		if r.Momentum != 0 {
			moments(&r.Moments)
		}
	case *CSGD:
		moments(&r.Moments)
	case *Adam:
		moments(&r.Moments)
	case *AvaGrad:
		moments(&r.Moments)
		if want, ok := s.Gamma[g.Index]; ok {
			near("gamma", []float64{r.Gamma}, []float64{want})
		}
	case *AdaBound:
		moments(&r.Moments)
		checkBounds(g, s, r.Lower, r.Upper, r.Eta, near)
		if s.VMax != nil {
			near("vmax", r.VMax, g.Pick(s.VMax))
		}
	case *Algorithm1:
		moments(&r.Moments)
		checkBounds(g, s, r.Lower, r.Upper, r.Eta, near)
	}
}

func checkBounds(g *Group, s CaseStep, lower, upper float64, eta []float64, near func(what string, got, want []float64)) {
	if b := s.Bounds[g.Index]; b != nil {
		near("bounds", []float64{lower, upper}, b)
	}
	if e := s.Eta[g.Index]; e != nil {
		near("eta", eta, e)
	}
}

func TestDamagedCasesAreNamed(t *testing.T) {
	good := `{"id":"one","optimizer":"sgd","hyper":{"lr":1},"problem":{"type":"grad_sequence","grads":[[1,2]]},"x0":[0,0],` +
		`"tensors":[{"start":0,"len":2,"group":0}],"steps":[{"t":1,"x":[1,2]}]}`
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"lr":1`, `"rate":1`, "rate"},
		{`"lr":1`, `"betas":[1]`, "want two"},
		{`"grad_sequence"`, `"cubic"`, "cubic"},
		{`[[1,2]]`, `[[1]]`, "gradients"},
		{`[[1,2]]`, `[]`, "gradients"},
		{`"group":0`, `"group":1`, "group 1"},
		{`"len":2`, `"len":3`, "length 3"},
		{`"len":2`, `"len":1`, "no tensor"},
		{`"t":1`, `"t":2`, "step 2"},
		{`"x":[1,2]`, `"x":[1]`, "1 numbers"},
		{`"optimizer"`, `"optimiser"`, "no trajectories"},
	} {
		dir := t.TempDir()
		text := fmt.Sprintf(`{"cases":[%s]}`, strings.Replace(good, c.old, c.new, 1))
		if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Read(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s for %s: error %v, want %q", c.new, c.old, err, c.want)
		}
	}
}
