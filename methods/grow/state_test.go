package grow

import (
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// snapshot is what a probe remembers of one parameter.
type snapshot struct {
	param *graph.Param
	w     []float32
	slots [][]float32
}

func snap(t testing.TB, r *trainer.Run) (s []snapshot) {
	for _, e := range r.Optim().Entries {
		x := snapshot{param: e.Param, w: read(t, r, e.Param.W)}
		for _, slot := range e.Slots {
			x.slots = append(x.slots, read(t, r, slot))
		}
		s = append(s, x)
	}
	return s
}

// Invariant 11: an event keeps the optimizer's state of old entries and gives
// new ones zero. Without momentum there is none.
func TestOptimizerStateIsCarried(t *testing.T) {
	for _, kind := range []optim.Kind{optim.SGD, optim.Adam} {
		t.Run(string(kind), func(t *testing.T) {
			j := digits(smallMLP)
			j.optim = optim.Defaults(kind)
			var old []snapshot
			events := 0
			j.probes = func() (before, after trainer.Method) {
				return probe(func(e trainer.Event, r *trainer.Run) error {
						if e == trainer.Boundary {
							old = snap(t, r)
						}
						return nil
					}), probe(func(e trainer.Event, r *trainer.Run) error {
						if e == trainer.Boundary && r.Step > 0 && r.Births[len(r.Births)-1] == r.Step {
							events++
							checkCarried(t, old, snap(t, r))
						}
						return nil
					})
			}
			j.run(t)
			if events != 3 {
				t.Errorf("%d events, want 3", events)
			}
		})
	}
	if s := (optim.Config{Kind: optim.SGD}).Slots(); s != nil {
		t.Errorf("sgd without momentum keeps %v", s)
	}
}

func checkCarried(t *testing.T, old, now []snapshot) {
	moved := false
	for i, o := range old {
		n := now[i]
		for k, slot := range o.slots {
			want := make([]float32, len(n.slots[k]))
			graph.Embed(o.param, n.param, func(from, to int) { want[to] = slot[from] })
			if !slices.Equal(n.slots[k], want) {
				t.Errorf("%s: state %d is not the old one padded with zeros", n.param.Name, k)
			}
			moved = moved || largest(slot) > 0
		}
	}
	if !moved {
		t.Error("all state is zero")
	}
}

// Invariant 10: the first step of a new entry under Adam is lr·|g|/(|g|+ε), and
// old entries step as if nothing had happened.
func TestAdamCountsFromBirth(t *testing.T) {
	j := digits(smallMLP)
	j.optim = optim.Defaults(optim.Adam)
	j.edit = func(c *trainer.Config) { c.Schedule = optim.Schedule{Decay: optim.Constant} }
	c := j.optim
	var before []snapshot
	var grads [][]float32
	news, olds := 0, 0
	j.probes = behind(func(e trainer.Event, r *trainer.Run) error {
		last := len(r.Births) - 1
		if last == 0 {
			return nil
		}
		switch {
		case e == trainer.Rates && r.Step == r.Births[last]:
			before, grads = snap(t, r), nil
			for _, x := range r.Optim().Entries {
				grads = append(grads, read(t, r, x.Param.G))
			}
		case e == trainer.Stepped && r.Step == r.Births[last]+1:
			for i, x := range snap(t, r) {
				b := r.Optim().Entries[i].Blocks
				for k := range x.w {
					g, born := float64(grads[i][k]), r.Births[block(b, k)]
					m := c.Beta1*float64(before[i].slots[0][k]) + (1-c.Beta1)*g
					v := c.Beta2*float64(before[i].slots[1][k]) + (1-c.Beta2)*g*g
					age := float64(r.Step - born)
					want := c.LR * (m / (1 - math.Pow(c.Beta1, age))) / (math.Sqrt(v/(1-math.Pow(c.Beta2, age))) + c.Eps)
					if born == r.Births[last] {
						news++
						if first := c.LR * g / (math.Abs(g) + c.Eps); math.Abs(first-want) > 1e-9 {
							t.Fatalf("%s: the oracle disagrees with itself: %v and %v", x.param.Name, first, want)
						}
					} else {
						olds++
					}
					got := float64(before[i].w[k]) - float64(x.w[k])
					if math.Abs(got-want) > 1e-3*c.LR+2e-7*math.Abs(float64(x.w[k])) {
						t.Fatalf("%s, entry %d born at %d: step %v, want %v", x.param.Name, k, born, got, want)
					}
				}
			}
		}
		return nil
	})
	j.run(t)
	if news == 0 || olds == 0 {
		t.Errorf("looked at %d new and %d old entries", news, olds)
	}
}

// A ramp is exact at its event and has made the table's factors when it is
// over. With rate 0 nothing else moves the weights.
func TestRampReachesTheTable(t *testing.T) {
	j := digits(smallMLP)
	j.model.Norm = false
	j.grow.VT, j.grow.RampSteps = VTRamp, 4
	j.grow.Multipliers, j.grow.Epochs = []float64{0.5, 1}, []float64{0.5, 0.5}
	j.optim.LR = 0
	var old, start, end []snapshot
	j.probes = func() (before, after trainer.Method) {
		return probe(func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Boundary && len(r.Births) == 1 {
					old = snap(t, r)
				}
				return nil
			}), probe(func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Boundary && len(r.Births) == 2 && start == nil {
					start = snap(t, r)
				}
				if e == trainer.Finished {
					end = snap(t, r)
				}
				return nil
			})
	}
	j.run(t)
	for i, o := range old {
		r := tableFactor(end[i].param, 1)
		graph.Embed(o.param, end[i].param, func(from, to int) {
			if start[i].w[to] != o.w[from] {
				t.Fatalf("%s: the event made %v of %v", o.param.Name, start[i].w[to], o.w[from])
			}
			if want := r * float64(o.w[from]); math.Abs(float64(end[i].w[to])-want) > 1e-6*math.Abs(want) {
				t.Fatalf("%s: %v after the ramp, want %v", o.param.Name, end[i].w[to], want)
			}
			start[i].w[to] = end[i].w[to]
		})
		if !slices.Equal(start[i].w, end[i].w) {
			t.Errorf("%s: the ramp moved new entries", o.param.Name)
		}
	}
	if tableFactor(end[len(end)-2].param, 1) == 1 {
		t.Error("no weight has a ramp")
	}
}

// Biases follow the weights in front of them along a ramp, but not weights
// that batch norm lets have their factor at once.
func TestRampOfBiases(t *testing.T) {
	d := &graph.Dim{Name: "d", Full: 8, Bounds: []int{4, 8}}
	w := &graph.Param{Name: "w", ParamSpec: graph.Weight(d.Axis(), d.Axis())}
	b := &graph.Param{Name: "b", ParamSpec: graph.Vector(d.Axis(), graph.InitZero), Scaled: []*graph.Param{w, w}}
	if got := rampFactor(b, 1, nil); math.Abs(got-0.5) > 1e-12 {
		t.Errorf("factor %v behind two weights of factor √½", got)
	}
	if got := rampFactor(b, 1, map[string]bool{"w": true}); got != 1 {
		t.Errorf("factor %v behind batch-normed weights", got)
	}
	if got := rampFactor(w, 1, nil); math.Abs(got-math.Sqrt(0.5)) > 1e-12 {
		t.Errorf("factor %v of the weight", got)
	}
}
