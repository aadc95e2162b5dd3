package convergence

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// Who converges, on draws of 64 seeds.
func TestDelayOfAdaBound(t *testing.T) {
	r := Delay().Run(64)
	show(t, r)
	for _, c := range []struct {
		method    string
		at        int
		low, high float64
	}{
		{NameAdaBound, 1000, 0.85, 1}, // as far from -1 as it can be
		{NameAdam, 1000, 0.85, 1},
		{NameSGD, 1000, -1, 0},
		{NameCSGD, 1000, -1, 0},
		{NameAMSGrad, 1000, -0.4, 0.2},
		{NameAdaBound, 60000, -1, -0.9}, // delayed, not prevented
		{NameSGD, 60000, -1, -0.98},
		{NameCSGD, 60000, -1, -0.98},
		{NameAMSGrad, 60000, -1, -0.98},
		{NameAdam, 60000, 0.98, 1}, // never
		{NameDelayedAdam, 60000, -0.9, -0.5},
	} {
		if x := r.Of(c.method, c.at); !(x >= c.low && x <= c.high) {
			t.Errorf("%s is at %.3f after %d steps, want %v to %v", c.method, x, c.at, c.low, c.high)
		}
	}
}

// show logs the table of a result: go test -v.
func show(t *testing.T, r Result) {
	t.Helper()
	var s strings.Builder
	if err := r.Write(&s); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + s.String())
}

func TestTablesHaveARowForEveryMethod(t *testing.T) {
	for _, e := range Experiments() {
		e.At = e.At[:1]
		e.At[0] = 3
		r := e.Run(5)
		var s strings.Builder
		if err := r.Write(&s); err != nil {
			t.Fatal(err)
		}
		for i, m := range e.Methods {
			if row := fmt.Sprintf("\n| %s | %.3f |\n", m.Name, r.Mean[i][0]); !strings.Contains(s.String(), row) {
				t.Errorf("%s: no row %q in\n%s", e.Name, row, s.String())
			}
		}
	}
}

func TestUsualBoundsDelayToo(t *testing.T) {
	e := Claim()
	e.At = e.At[:4]
	r := e.Run(64)
	show(t, r)
	for _, at := range []int{1000, 2000, 4000, 10000} {
		if x := r.Of(NameAdaBound, at); x < 0.85 {
			t.Errorf("AdaBound is at %.3f after %d steps, want it near 1", x, at)
		}
	}
	if x := r.Of(NameSGD, 10000); x > -0.8 {
		t.Errorf("SGD is at %.3f after 10000 steps, want it near -1", x)
	}
}

func TestAdamStalls(t *testing.T) {
	r := Stall().Run(64)
	show(t, r)
	for _, c := range []struct {
		method    string
		low, high float64
	}{{NameAdam, 0.95, 1}, {NameAMSGrad, 0.85, 0.97}, {NameDelayedAdam, 0.4, 0.56}, {NameSGD, 0.4, 0.56}} {
		if x := r.Of(c.method, 100000); !(x >= c.low && x <= c.high) {
			t.Errorf("%s is at %.3f, want %v to %v", c.method, x, c.low, c.high)
		}
	}
}

// Under theorem 2's bounds no rate is clipped up to step K: AdaBound is Adam.
func TestAdaBoundIsAdamUntilK(t *testing.T) {
	e := Delay()
	a, b := newWalk(e.Problem, e.Methods[0], 64), newWalk(e.Problem, e.Methods[1], 64)
	rare := make([]bool, 64)
	for step := 1; step <= k+1; step++ {
		e.Problem.draw(step, rare)
		a.step(step, rare)
		b.step(step, rare)
		same := true
		for i := range a.x {
			same = same && a.x[i] == b.x[i]
		}
		if same != (step <= k) {
			t.Fatalf("step %d: same %v", step, same)
		}
	}
}

func TestRunsAreFunctionsOfTheirSeeds(t *testing.T) {
	e := Delay()
	e.At = []int{100}
	a, b := e.Run(8), e.Run(8)
	for i := range a.Mean {
		if a.Mean[i][0] != b.Mean[i][0] {
			t.Errorf("%s: %v and %v", e.Methods[i].Name, a.Mean[i][0], b.Mean[i][0])
		}
	}
	wide := e.Run(16)
	if a.Mean[0][0] == wide.Mean[0][0] {
		t.Error("eight more seeds change nothing")
	}
}

// The bounds' own facts: order, monotony, limit, and the constant M of
// theorem 3 (proposition 1, tightened).
func TestBoundsClose(t *testing.T) {
	const limit = 0.1
	for _, gamma := range []float64{1e-4, 1e-3, 0.2, 100} {
		b := Closing(limit, gamma)
		lower, upper := 0.0, math.Inf(1)
		for step := 1; step <= 1e5; step++ {
			lo, hi := b(step)
			if !(lo > lower && hi < upper && lo < hi) || limit-lo > limit/(gamma*float64(step)) {
				t.Fatalf("gamma %v: bounds %v %v after %v %v", gamma, lo, hi, lower, upper)
			}
			m := float64(step) / lo
			if step > 1 {
				m -= float64(step-1) / upper
			}
			if m *= limit; m < 1+1/gamma-1e-9*m || m >= 1+2/gamma {
				t.Fatalf("gamma %v, step %d: M·limit is %v, want from %v below %v", gamma, step, m, 1+1/gamma, 1+2/gamma)
			}
			lower, upper = lo, hi
		}
	}
}
