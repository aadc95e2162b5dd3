package structured

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

func spec(name string) models.Spec {
	s := models.Spec{Name: name, Height: 8, Width: 8, Channels: 1, Classes: 10}
	switch name {
	case "mlp":
		s.Hidden = []int{12, 8}
	case "resnet-8", "resnet-14":
		s.Base = 4
	case "resnet-18", "resnet-50":
		s.Base = 4
	case "lstm":
		s = models.Spec{Name: name, Vocab: 11, Context: 4, Dim: 6}
	case "transformer":
		s = models.Spec{Name: name, Vocab: 11, Context: 4, Dim: 16, Heads: 4, Inner: 12, Layers: 2}
	}
	return s
}

func space(t testing.TB, c Config, m models.Spec) *Space {
	t.Helper()
	g, err := models.Trace(m, graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSpace(&c, g)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The gradient of s is that of finite differences of σ(βs)·D + λσ(βs).
func TestGradient(t *testing.T) {
	for _, c := range []struct {
		s, beta, d, price float64
		sampled           bool
		want              func(p float64) float64
	}{
		{0.3, 1, 2, 0.5, true, func(p float64) float64 { return 2.5 * p }},
		{-2, 7, -1, 0.1, true, func(p float64) float64 { return -0.9 * p }},
		{0.1, 20, -1, 0.1, false, func(p float64) float64 { return 0.1 * p }},
	} {
		const h = 1e-6
		want := (c.want(Sigmoid(c.beta*(c.s+h))) - c.want(Sigmoid(c.beta*(c.s-h)))) / (2 * h)
		if got := Gradient(c.s, c.beta, c.sampled, c.d, c.price); math.Abs(got-want) > 1e-6*math.Max(1, math.Abs(want)) {
			t.Errorf("s %v, β %v: gradient %v, differences %v", c.s, c.beta, got, want)
		}
	}
}

// Invariant 6: β lies in [1, last], is 1 without queries and last after all.
func TestTemperature(t *testing.T) {
	for _, c := range []struct {
		t    int
		want float64
	}{{0, 1}, {10, 10}, {20, 100}, {30, 100}} {
		if got := Temperature(c.t, 20, 100); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("β after %d of 20: %v, want %v", c.t, got, c.want)
		}
	}
	for _, c := range []struct{ x, want float64 }{{0.5, 1}, {0.75, 1}, {0.825, 10}, {0.9, 100}, {1, 100}} {
		if got := Hardened(c.x, 0.75, 0.9, 100); math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("least β at %v: %v, want %v", c.x, got, c.want)
		}
	}
}

// Invariant 7: frequencies are within four standard errors of p, and draws are
// a function of seed, query and component.
func TestSampled(t *testing.T) {
	const n = 10_000
	for _, p := range []float64{0, 0.003, 0.05, 0.5, 0.97, 1} {
		hits := 0.0
		for q := range n {
			if Sampled(p, 1, q, 7) {
				hits++
			}
		}
		if e := math.Abs(hits/n - p); e > 4*math.Sqrt(p*(1-p)/n) {
			t.Errorf("p %v: frequency %v", p, hits/n)
		}
	}
	var a, b, c uint64
	for i := range 64 {
		one := func(seed uint64, query int) uint64 { return uint64(b2i(Sampled(0.5, seed, query, i))) << i }
		a, b, c = a|one(1, 1), b|one(1, 2), c|one(2, 1)
	}
	if bits.OnesCount64(a^b) < 10 || bits.OnesCount64(a^c) < 10 {
		t.Errorf("draws of other queries and seeds agree: %x %x %x", a, b, c)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// What is found in each kind of network.
func TestSpace(t *testing.T) {
	streams := Defaults()
	streams.Streams = true
	for _, c := range []struct {
		model  string
		config Config
		groups string
		blocks int
	}{
		{"mlp", Defaults(), "fc1=12@fc2.weight fc2=8@out.weight", 0},
		{"vgg-11", Defaults(), "conv0=64 conv1=128 conv2=256 conv3=256 conv4=512 conv5=512 conv6=512 conv7=512", 0},
		{"resnet-8", Defaults(), "layer1.0=4/0 layer2.0=8 layer3.0=16", 1},
		{"resnet-14", Defaults(), "layer1.0=4/0 layer1.1=4/1 layer2.0=8 layer2.1=8/2 layer3.0=16 layer3.1=16/3", 4},
		{"resnet-18", streams, "stage1=4 layer1.0=4/0 layer1.1=4/1 stage2=8 layer2.0=8 layer2.1=8/2 stage3=16 layer3.0=16 layer3.1=16/3 stage4=32 layer4.0=32 layer4.1=32/4", 5},
		{"lstm", Defaults(), "lstm0=6@lstm0.hh.weight@lstm1.ih.weight lstm1=6@lstm1.hh.weight@out.weight", 0},
		{"transformer", Defaults(), "h.0.heads=4@h.0.attn.proj.weight h.0.inner=12@h.0.mlp.proj.weight h.1.heads=4@h.1.attn.proj.weight h.1.inner=12@h.1.mlp.proj.weight", 0},
		{"wrn-10-1", Defaults(), "stem=16 layer1.0=16 layer2.0=32 layer3.0=64", 0},
	} {
		s := space(t, c.config, spec(c.model))
		var got []string
		for _, g := range s.Groups {
			text := g.Dim + "=" + strconv.Itoa(g.Full)
			if g.Block >= 0 {
				text += "/" + strconv.Itoa(g.Block)
			}
			if len(g.Norms) == 0 {
				text += "@" + strings.Join(g.Readers, "@")
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != c.groups || len(s.Blocks) != c.blocks {
			t.Errorf("%s: groups %s, %d blocks\nwant %s, %d", c.model, text, len(s.Blocks), c.groups, c.blocks)
		}
	}
	c := streams
	g, err := models.Trace(spec("resnet-8"), graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSpace(&c, g); err == nil || !strings.Contains(err.Error(), "stage1 is a residual stream that shortcuts without parameters carry") {
		t.Errorf("streams of resnet-8: %v", err)
	}
}

// Invariant 10: the cost equals the FLOPs and parameters of the network that
// is traced at those sizes.
func TestCostIsThatOfTheNetwork(t *testing.T) {
	for _, name := range []string{"mlp", "vgg-11", "resnet-14", "resnet-18", "lstm", "transformer", "mobilenet"} {
		for _, cost := range []Cost{CostFlops, CostParams} {
			c := Defaults()
			c.Cost = cost
			m := spec(name)
			s := space(t, c, m)
			for trial := range 4 {
				counts, sizes := make([]float64, len(s.Groups)), graph.Sizes{}
				for i, g := range s.Groups {
					n := 1 + (7*trial+3*i)%g.Full
					if trial == 0 {
						n = g.Full
					}
					counts[i], sizes[g.Dim] = float64(n), []int{n}
				}
				g, err := models.Trace(m, graph.Config{Sizes: sizes}, 1)
				if err != nil {
					t.Fatal(err)
				}
				want := float64(g.ParamCount())
				if cost == CostFlops {
					want = float64(g.Flops())
				}
				if got := s.Cost(counts); math.Abs(got-want) > 1e-9*want {
					t.Errorf("%s, %s at %v: %v, the network has %v", name, cost, sizes, got, want)
				}
				if trial == 0 && s.FullCost() != s.Cost(counts) {
					t.Errorf("%s: full cost %v, want %v", name, s.FullCost(), want)
				}
			}
		}
	}
}

// The expected cost of certain components is their cost, and that of an
// uncertain one lies between those with and without it in proportion.
func TestExpectedCost(t *testing.T) {
	s := space(t, Defaults(), spec("resnet-14"))
	p := make([]float64, s.Components())
	active := make([]bool, len(p))
	for i := range p {
		active[i] = i%3 != 0 || i >= s.Units()
		p[i] = float64(b2i(active[i]))
	}
	if got := s.Expected(p); math.Abs(got-s.Cost(s.Counts(active))) > 1e-6*got {
		t.Errorf("expected cost %v, want %v", got, s.Cost(s.Counts(active)))
	}
	for i := range p {
		p[i] = 0.1 + 0.8*float64(i*37%100)/100
	}
	got := s.Expected(p)
	for i, x := range p {
		q := slices.Clone(p)
		q[i] = 0
		without := s.Expected(q)
		q[i] = 1
		with := s.Expected(q)
		if want := (1-x)*without + x*with; without >= with || math.Abs(got-want) > 1e-9*want {
			t.Errorf("component %d of probability %v: expected cost %v, want %v between %v and %v", i, x, got, want, without, with)
		}
	}
}

// Invariant 9 and the guard: a block that is off takes its units along, and no
// group is empty.
func TestSettle(t *testing.T) {
	s := space(t, Defaults(), spec("resnet-14")) // layer1.0 has units 0-3 in block 0, layer1.1 units 4-7 in block 1
	q := make([]bool, s.Components())
	masks := make([]float32, s.Components())
	masks[2], masks[6] = 1, 2
	for i := range 8 {
		q[i] = i != 1
	}
	q[s.Units()] = true // block 0 on, 1 off
	got := s.Settle(q, masks, 1)
	if want := []bool{true, false, true, true, false, false, true, false}; !slices.Equal(got[:8], want) {
		t.Errorf("units %v, want %v", got[:8], want)
	}
	for i, n := range s.Counts(got) {
		if n < 1 {
			t.Errorf("group %s is empty", s.Groups[i].Dim)
		}
	}
	tiled := s.Counts(s.Settle(q, masks, 4))
	for i, g := range s.Groups {
		off := g.Block >= 0 && !q[s.Units()+g.Block]
		if want := float64(4); !off && math.Mod(tiled[i], want) != 0 || off && tiled[i] != 1 {
			t.Errorf("group %s has %v units in tiles of 4, off %v", g.Dim, tiled[i], off)
		}
	}
}

// Invariant 11: the finished network meets the budget within 1 %, from above
// and from below, and keeps what is surest.
func TestDecide(t *testing.T) {
	m := spec("vgg-11")
	s := space(t, Defaults(), m)
	for _, tile := range []int{1, 8} {
		for _, c := range []struct{ shift, budget float64 }{{-1, 0.2}, {0.5, 0.2}, {0, 0.5}, {-20, 0.05}, {20, 0.05}} {
			z := make([]float32, s.Components())
			for i := range z {
				z[i] = float32(math.Sin(float64(i)*1.7)*3 + c.shift)
			}
			active := s.Decide(z, c.budget*s.FullCost(), tile)
			got := s.Cost(s.Counts(active)) / s.FullCost()
			tolerance := 0.01
			if tile > 1 {
				tolerance = 0.1 // widths move in steps
			}
			if math.Abs(got/c.budget-1) > tolerance {
				t.Errorf("tile %d, shift %v: cost %v, budget %v", tile, c.shift, got, c.budget)
			}
			for i, g := range s.Groups {
				lowest, highest := float32(math.Inf(1)), float32(math.Inf(-1))
				for u := g.First; u < g.First+g.Full; u++ {
					if active[u] {
						lowest = min(lowest, z[u])
					} else {
						highest = max(highest, z[u])
					}
				}
				if lowest < highest {
					t.Errorf("group %d keeps a unit of logit %v and drops one of %v", i, lowest, highest)
				}
				if n := s.Counts(active)[i]; int(n)%tile != 0 && int(n) != g.Full {
					t.Errorf("group %d has %v units in tiles of %d", i, n, tile)
				}
			}
		}
	}
}

// simulate is the mean field of the specification: masks without a task.
func simulate(s *Space, c Config, steps int, each func(step int, u, want float64)) {
	n := s.Components()
	masks, momenta, p := make([]float32, n), make([]float32, n), make([]float64, n)
	for i := range masks {
		masks[i] = float32(c.Off)
		if i%s.Groups[0].Full == 0 {
			masks[i] = float32(c.On)
		}
	}
	lambda := 0.0
	for step := range steps {
		if step%c.Every == 0 {
			for i := range p {
				p[i] = Sigmoid(float64(masks[i]))
			}
			u, want := 1-s.Expected(p)/s.FullCost(), Reference(float64(step)/float64(steps), 0.99, 1-c.Budget, c.Ramp)
			if c.Controller == ControllerPaper {
				want = 1 - c.Budget
				lambda = PaperPrice(c.Gain, want, u)
			} else {
				lambda = Price(c.Gain, want, u)
			}
			each(step, u, want)
		}
		for i := range masks {
			Descend(&masks[i], &momenta[i], Gradient(float64(masks[i]), 1, false, 0, lambda), c.Rate, c.Momentum, c.Decay)
		}
	}
}

// Invariant 8: with no task the expected sparsity moves towards the wanted one
// and stays within 0.02 of it under ref; the published rule swings.
func TestController(t *testing.T) {
	s := space(t, Defaults(), models.Spec{Name: "mlp", Hidden: []int{100, 100}, Height: 1, Width: 1, Channels: 100, Classes: 100})
	c := Defaults()
	worst := 0.0
	simulate(s, c, 4000, func(step int, u, want float64) {
		if step > 2500 {
			worst = max(worst, math.Abs(u-want))
		}
	})
	if worst > 0.02 {
		t.Errorf("ref stays within %v of the budget, want 0.02", worst)
	}
	c.Controller, c.Every = ControllerPaper, 391
	low, high := 1.0, 0.0
	simulate(s, c, 391*20, func(step int, u, want float64) {
		if step > 391*2 {
			low, high = min(low, u), max(high, u)
		}
	})
	if high-low < 0.2 {
		t.Errorf("the published rule stays between %v and %v: it is known to swing", low, high)
	}
	if Price(0.5, 0.5, 0.9) >= 0 || Price(0.5, 0.9, 0.5) <= 0 || Price(10, 1, 0) != 0.5 {
		t.Error("a network that is too sparse must pay its components, one that is too dense charge them, at most 1/2")
	}
}

func TestPlan(t *testing.T) {
	line := []trainer.Phase{{Steps: 1000, Batch: 100}}
	c := Defaults()
	p, err := NewPlan(c, spec("resnet-14"), line, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	if p.First != 0 || p.Final != 900 || !slices.Equal(p.Queries, []uint64{100, 200, 300, 400, 500, 600, 700, 800}) {
		t.Errorf("first %d, final %d, queries %v", p.First, p.Final, p.Queries)
	}
	if s := p.Initial(); s["layer1.0"][0] != 1 || s["layer3.1"][0] != 1 || len(s) != 6 {
		t.Errorf("initial sizes %v", s)
	}
	for _, x := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"seed that starts late", func(c *Config) { c.Start = 2 }, "want start 0, or seed 0"},
		{"no query", func(c *Config) { c.Period = 50 }, "no query in the 900 steps"},
		{"nothing behind final", func(c *Config) { c.Final, c.Harden = 1, 0.9 }, "does not fit into a run of 1000 steps"},
		{"budget too small", func(c *Config) { c.Budget = 0.01 }, "below the 0.1"},
		{"unknown dim", func(c *Config) { c.Dims = []string{"nosuch"} }, "no width of the network is restructured"},
		{"bad budget", func(c *Config) { c.Budget = 2 }, "budget 2: want 0.0001 to 1"},
		{"bad words", func(c *Config) { c.Controller, c.Draws = "x", "y" }, `draws "y": want fresh or kept`},
	} {
		c := Defaults()
		x.edit(&c)
		if _, err := NewPlan(c, spec("resnet-14"), line, 10_000); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.name, err, x.want)
		}
	}
}
