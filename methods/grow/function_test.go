package grow

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/trainer/graph"
)

// Invariant 1: with r = 1 an event leaves the function alone, in evaluation
// and, batch statistics included, in training.
func TestEventKeepsTheFunction(t *testing.T) {
	dev := device(t)
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			for _, train := range []bool{false, true} {
				old, now := build(t, dev, s.spec, before, train), build(t, dev, s.spec, after, train)
				old.randomize(3)
				now.grow(old, mode(VTNone))
				old.run(s.spec, 5)
				now.run(s.spec, 5)
				// Loss is one number a row; evaluation keeps the logits, too.
				if d := apart(old.read(old.prog.Loss()), now.read(now.prog.Loss()), 1); d > s.tolerance() {
					t.Errorf("train %v: losses apart by %.2g", train, d)
				}
				if train {
					continue
				}
				if d := apart(old.read(old.prog.Logits()), now.read(now.prog.Logits()), 1); d > s.tolerance() {
					t.Errorf("logits apart by %.2g", d)
				}
			}
		})
	}
}

// Mode exact leaves the function alone although batch-normed weights are
// scaled: their running statistics follow.
func TestExactModeKeepsTheFunction(t *testing.T) {
	dev := device(t)
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			for _, vt := range []VT{VTExact, VTRamp} {
				old, now := build(t, dev, s.spec, before, false), build(t, dev, s.spec, after, false)
				old.randomize(3)
				e := now.grow(old, mode(vt))
				old.run(s.spec, 5)
				now.run(s.spec, 5)
				// ε of batch norm is not scaled: 1e-5 of a variance near 1.
				if d := apart(old.read(old.prog.Logits()), now.read(now.prog.Logits()), 1); d > 1e-4 {
					t.Errorf("%s: logits apart by %.2g", vt, d)
				}
				if s.norm && !scaledSome(e) {
					t.Errorf("%s: no weight was scaled, though batch norm is everywhere", vt)
				}
			}
		})
	}
}

func scaledSome(e *event) bool {
	for _, r := range e.factors {
		if r != 1 {
			return true
		}
	}
	return false
}

// Invariant 2: variance transfer multiplies the logits of a network without
// norms by ρ, those of one with batch norm by the classifier's C/C', and
// leaves those of a pre-norm transformer alone.
func TestVarianceTransferScalesTheLogits(t *testing.T) {
	dev := device(t)
	for _, s := range subjects {
		if s.name == "lstm" { // not homogeneous: gates saturate
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			old, now := build(t, dev, s.spec, before, false), build(t, dev, s.spec, after, false)
			old.randomize(3)
			e := now.grow(old, mode(VTPaper))
			want, tolerance := 1.0, s.tolerance()
			switch {
			case s.plain:
				for _, r := range e.factors {
					want *= r
				}
			case s.norm:
				params := now.g.Params()
				d := params[len(params)-2].Axes[0].Dim // of the classifier's input
				want, tolerance = float64(d.Bounds[0])/float64(d.Bounds[1]), 1e-4
			}
			if (s.plain || s.norm) && want > 0.99 {
				t.Fatalf("the event scales nothing: factor %v", want)
			}
			old.run(s.spec, 5)
			now.run(s.spec, 5)
			a, b := old.read(old.prog.Logits()), now.read(now.prog.Logits())
			if d := apart(b, a, want); d > tolerance {
				t.Errorf("logits are not %.4f times the old: apart by %.2g", want, d)
			}
			classes := old.prog.Logits().Dim(-1)
			for i := 0; i < len(a); i += classes {
				if argmax(a[i:][:classes]) != argmax(b[i:][:classes]) {
					t.Errorf("row %d: another class has the largest logit", i/classes)
				}
			}
		})
	}
}

func argmax(v []float32) (at int) {
	for i, x := range v {
		if x > v[at] {
			at = i
		}
	}
	return at
}

// An odd full size ends with a unit without a partner, whose outputs are zero
// at first.
func TestOddUnitKeepsTheFunction(t *testing.T) {
	dev := device(t)
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			for _, n := range before.Names() {
				if c := before[n][0]; c >= 4 {
					after[n] = []int{c, c + 1 + 2*(len(n)%2)}
				}
			}
			if s.name == "mlp" {
				after["fc3"] = []int{4, 5}
			}
			old, now := build(t, dev, s.spec, before, false), build(t, dev, s.spec, after, false)
			old.randomize(3)
			now.grow(old, mode(VTNone))
			old.run(s.spec, 5)
			now.run(s.spec, 5)
			if d := apart(old.read(old.prog.Logits()), now.read(now.prog.Logits()), 1); d > s.tolerance() {
				t.Errorf("logits apart by %.2g", d)
			}
		})
	}
}

// Copies of units keep the function as well, where they are made without
// noise and no shortcut without parameters mixes them up.
func TestCopiesKeepTheFunction(t *testing.T) {
	dev := device(t)
	c := mode(VTNone)
	c.Init, c.Noise = InitNet2Net, 0
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			old, now := build(t, dev, s.spec, before, false), build(t, dev, s.spec, after, false)
			old.randomize(3)
			now.grow(old, c)
			old.run(s.spec, 5)
			now.run(s.spec, 5)
			d := apart(old.read(old.prog.Logits()), now.read(now.prog.Logits()), 1)
			if s.copies && d > 5e-6 {
				t.Errorf("logits apart by %.2g", d)
			}
			if !s.copies && d < 1e-3 {
				t.Errorf("logits apart by only %.2g: the documented limit is gone", d)
			}
		})
	}
}

// Plain random units change the function: the ablation differs from pairs.
func TestRandomUnitsChangeTheFunction(t *testing.T) {
	dev := device(t)
	c := mode(VTNone)
	c.Init = InitRandom
	s := subjects[0]
	before, after := s.sizes(t)
	old, now := build(t, dev, s.spec, before, false), build(t, dev, s.spec, after, false)
	old.randomize(3)
	now.grow(old, c)
	old.run(s.spec, 5)
	now.run(s.spec, 5)
	if d := apart(old.read(old.prog.Logits()), now.read(now.prog.Logits()), 1); d < 1e-2 {
		t.Errorf("logits apart by %.2g", d)
	}
}

// Invariants 3 and 4: right after an event with r = 1, the gradients of a new
// unit's two incoming rows are opposite, those of its two outgoing columns
// equal, and those of old entries what they were; after one step of SGD the
// two units differ.
func TestGradientsAfterAnEvent(t *testing.T) {
	dev := device(t)
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			before, after := s.sizes(t)
			old, now := build(t, dev, s.spec, before, true), build(t, dev, s.spec, after, true)
			old.randomize(3)
			now.grow(old, mode(VTNone))
			old.run(s.spec, 5)
			now.run(s.spec, 5)
			parted, all := 0, 0.0
			for _, p := range old.g.Params() {
				all = max(all, largest(old.read(p.G)))
			}
			for i, p := range old.g.Params() {
				q := now.g.Params()[i]
				before, after := old.read(p.G), now.read(q.G)
				tolerance := 10 * s.tolerance() * max(largest(before), largest(after), 0.05*all)
				graph.Embed(p, q, func(from, to int) {
					if d := math.Abs(float64(before[from]) - float64(after[to])); d > tolerance {
						t.Fatalf("%s: gradient of an old entry was %v, is %v, the largest %v", p.Name, before[from], after[to], all)
					}
				})
				parted += checkPairs(t, p, q, now.read(q.W), after, tolerance)
			}
			if parted == 0 {
				t.Error("no pair would part at the first step")
			}
		})
	}
}

// checkPairs holds values and gradients of a grown parameter's pairs against
// each other, and counts the rows that one step of SGD makes unlike.
func checkPairs(t *testing.T, p, q *graph.Param, w, g []float32, tolerance float64) (parted int) {
	type key struct{ in, out, rest int }
	first := map[key]int{}
	walk(p, q, func(at *place) {
		var k key
		switch {
		case at.newOut && at.out.sign != 0:
			k = key{at.in.own, at.out.pair, at.rest}
		case at.newIn && at.in.sign != 0:
			k = key{at.in.pair, at.out.own, at.rest}
		default:
			return
		}
		a, ok := first[k]
		if !ok {
			first[k] = at.index
			return
		}
		b, sign := at.index, float32(1)
		if !at.newOut {
			sign = -1
		}
		if w[a] != sign*w[b] {
			t.Fatalf("%s: pair has values %v and %v, want factor %v", q.Name, w[a], w[b], sign)
		}
		// V: gradients opposite, Z: equal.
		if d := math.Abs(float64(g[a]) + float64(sign)*float64(g[b])); d > tolerance {
			t.Fatalf("%s: pair has gradients %v and %v, want factor %v", q.Name, g[a], g[b], -sign)
		}
		if w[a]-0.1*g[a] != sign*(w[b]-0.1*g[b]) {
			parted++
		}
	})
	return parted
}
