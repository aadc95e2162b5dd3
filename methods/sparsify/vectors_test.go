package sparsify

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// vectors are the reference values of one file; conventions are in the file.
type vectors struct {
	Name       string
	MaskTables []struct {
		SInit float64 `json:"s_init"`
		Beta  float64
		S     []float64
		Soft  []float64
		Hard  []float64
	} `json:"mask_tables"`
	PruneTables []struct {
		SInit float64 `json:"s_init"`
		Beta  float64
		S     []float64
		SNew  []float64 `json:"s_new"`
	} `json:"prune_tables"`
	Schedule *struct {
		Epochs    int
		FinalTemp float64 `json:"final_temp"`
		Beta      map[string]float64
	}
	Gradient []gradientCase
	Cases    []searchCase
}

type gradientCase struct {
	S, W, G, Theta []float64
	Beta           float64
	SInit          float64 `json:"s_init"`
	Lambda         float64
	Penalty        float64
	GradW          []float64 `json:"grad_w"`
	GradS          []float64 `json:"grad_s"`
}

type searchCase struct {
	ID    string
	Setup struct {
		X              [][]float64
		Y              []float64
		W0             []float64
		B0             float64
		SInit          float64 `json:"s_init"`
		Epochs, Rounds int
		Batches        int `json:"batches_per_epoch"`
		LR             float64
		LRSchedule     []int     `json:"lr_schedule"`
		LRDrops        []float64 `json:"lr_drops"`
		Momentum       float64
		Decay          float64 `json:"weight_decay"`
		FinalTemp      float64 `json:"final_temp"`
		RewindEpoch    int     `json:"rewind_epoch"`
		Lambda         float64
	}
	Events []struct {
		AfterRound *int `json:"after_round"`
		Temp       float64
		SBefore    []float64 `json:"s_before"`
		SAfter     []float64 `json:"s_after"`
		RewindTo   *struct {
			W []float64
			B float64
		} `json:"rewind_to"`
		HardMask   []float64 `json:"hard_mask"`
		TicketMask []float64 `json:"ticket_mask"`
	}
	Steps []searchStep
}

type searchStep struct {
	Phase               string
	Round, Epoch, Batch int
	Temp                *float64
	LR                  float64
	Mask                []float64 `json:"mask_used"`
	Loss                float64   `json:"loss_before"`
	GradW               []float64 `json:"grad_w"`
	GradB               float64   `json:"grad_b"`
	GradS               []float64 `json:"grad_s"`
	W                   []float64
	B                   float64
	S                   []float64
	Kept                int
}

// readVectors returns the files of this method in the folder of vectors.
func readVectors(t *testing.T) map[string]vectors {
	t.Helper()
	dir := os.Getenv("ESPALIER_VECTORS")
	if dir == "" {
		dir = filepath.Join("testdata", "vectors")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]vectors{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ Name string }
		if json.Unmarshal(b, &head) != nil || head.Name != "continuous-sparsification" {
			continue
		}
		var v vectors
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all[filepath.Base(f)] = v
	}
	switch {
	case len(all) == 0 && os.Getenv("ESPALIER_VECTORS") == "":
		t.Fatalf("no vectors in %s", dir)
	case len(all) == 0:
		t.Skipf("no vectors of continuous-sparsification in %s", dir)
	}
	return all
}

// near compares to a relative 1e-9; tiny is the size below which a difference
// is rounding.
func near(t *testing.T, what string, got, want []float64, tiny float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if d := math.Abs(got[i] - want[i]); !(d <= 1e-9*math.Max(math.Abs(want[i]), tiny)) {
			t.Errorf("%s[%d]: %v, want %v", what, i, got[i], want[i])
		}
	}
}

func each(s []float64, f func(s float64) float64) []float64 {
	out := make([]float64, len(s))
	for i, v := range s {
		out[i] = f(v)
	}
	return out
}

func factorAt(s0 float64) float64 {
	c := Defaults()
	c.S0 = s0
	return c.factor()
}

func TestVectorsOfGates(t *testing.T) {
	for name, v := range readVectors(t) {
		for _, m := range v.MaskTables {
			c := factorAt(m.SInit)
			near(t, name+" soft", each(m.S, func(s float64) float64 { return Soft(s, m.Beta, c) }), m.Soft, 0)
			near(t, name+" hard", each(m.S, func(s float64) float64 { return Hard(s, c) }), m.Hard, 0)
		}
		for _, p := range v.PruneTables {
			near(t, name+" reset", each(p.S, func(s float64) float64 { return Reset(s, p.Beta, p.SInit) }), p.SNew, 0)
		}
		if v.Schedule == nil {
			continue
		}
		for e, want := range v.Schedule.Beta {
			i, err := strconv.Atoi(e)
			if err != nil {
				t.Fatal(err)
			}
			near(t, name+" epoch "+e, []float64{Temperature(v.Schedule.FinalTemp, i, v.Schedule.Epochs)}, []float64{want}, 0)
		}
	}
}

func TestVectorsOfGradients(t *testing.T) {
	for name, v := range readVectors(t) {
		for _, g := range v.Gradient {
			c := factorAt(g.SInit)
			penalty := 0.0
			theta, dw, ds := make([]float64, len(g.S)), make([]float64, len(g.S)), make([]float64, len(g.S))
			for i, s := range g.S {
				m := Soft(s, g.Beta, c)
				penalty += g.Lambda * m
				theta[i], dw[i] = m*g.W[i], m*g.G[i]
				ds[i] = Slope(s, g.W[i], dw[i], g.Beta, c, g.Lambda)
			}
			near(t, name+" theta", theta, g.Theta, 0)
			near(t, name+" penalty", []float64{penalty}, []float64{g.Penalty}, 0)
			near(t, name+" dw", dw, g.GradW, 0)
			near(t, name+" ds", ds, g.GradS, 1e-6)
		}
	}
}

// The complete searches: the loop is the plan's.
func TestVectorsOfSearches(t *testing.T) {
	for name, v := range readVectors(t) {
		for _, c := range v.Cases {
			t.Run(name+" "+c.ID, func(t *testing.T) { runSearch(t, c) })
		}
	}
}

// regression is the model of the vectors: pred = X·(w⊙gate) + b.
type regression struct {
	c             searchCase
	w, s, mw, ms  []float64
	b, mb         float64
	first         bool // no momentum yet
	factor        float64
	event, atStep int
	rewoundW      []float64
	rewoundB      float64
	hard          []float64
}

func runSearch(t *testing.T, c searchCase) {
	u := c.Setup
	cfg := Defaults()
	cfg.S0, cfg.Temperature, cfg.Penalty = u.SInit, u.FinalTemp, u.Lambda
	cfg.Rounds, cfg.Rewind = u.Rounds, float64(u.RewindEpoch)
	at := func(e float64) uint64 { return uint64(math.Round(e * float64(u.Batches))) }
	p, err := newPlan(cfg, float64(u.Epochs), at, at(float64((u.Rounds+1)*u.Epochs)))
	if err != nil {
		t.Fatal(err)
	}
	n := len(u.W0)
	m := &regression{c: c, w: append([]float64(nil), u.W0...), s: make([]float64, n), mw: make([]float64, n), ms: make([]float64, n),
		b: u.B0, first: true, factor: cfg.factor()}
	for i := range m.s {
		m.s[i] = u.SInit
	}
	for step := range p.Steps {
		if m.atStep == len(c.Steps) {
			break
		}
		m.boundary(t, p, step)
		m.step(t, p, step)
	}
	if m.atStep != len(c.Steps) || m.event != len(c.Events) {
		t.Errorf("%d of %d steps and %d of %d events came", m.atStep, len(c.Steps), m.event, len(c.Events))
	}
}

func (m *regression) boundary(t *testing.T, p *Plan, step uint64) {
	if step == p.Rewind {
		m.rewoundW, m.rewoundB = append([]float64(nil), m.w...), m.b
	}
	for i, r := range p.Rounds[1:] {
		if step != r.First {
			continue
		}
		e := m.c.Events[m.event]
		near(t, "temperature", []float64{p.last(i)}, []float64{e.Temp}, 0)
		near(t, "s before the reset", m.s, e.SBefore, 1e-3)
		m.s = each(m.s, func(s float64) float64 { return Reset(s, p.last(i), p.Config.S0) })
		near(t, "s after the reset", m.s, e.SAfter, 1e-3)
		m.event++
	}
	if step != p.Final {
		return
	}
	e := m.c.Events[m.event]
	m.w, m.b = m.rewoundW, m.rewoundB
	near(t, "rewound w", m.w, e.RewindTo.W, 1e-3)
	near(t, "rewound b", []float64{m.b}, []float64{e.RewindTo.B}, 1e-3)
	near(t, "mask", each(m.s, func(s float64) float64 { return Hard(s, 1) }), e.HardMask, 0)
	m.hard = each(m.s, func(s float64) float64 { return Hard(s, m.factor) })
	near(t, "gates of the ticket", m.hard, e.TicketMask, 0)
	m.first = true
	m.event++
}

func (m *regression) step(t *testing.T, p *Plan, step uint64) {
	u, want := m.c.Setup, m.c.Steps[m.atStep]
	m.atStep++
	now := p.At(step)
	gates, epoch := m.hard, now.Epoch
	if now.Phase == PhaseFinal {
		epoch = int(step-p.Final) / u.Batches
	} else {
		gates = each(m.s, func(s float64) float64 { return Soft(s, now.Beta, m.factor) })
		near(t, "temperature", []float64{now.Beta}, []float64{*want.Temp}, 0)
		if now.Round != want.Round {
			t.Errorf("round %d, want %d", now.Round, want.Round)
		}
	}
	if epoch != want.Epoch {
		t.Errorf("epoch %d, want %d", epoch, want.Epoch)
	}
	lr := u.LR
	for i, at := range u.LRSchedule {
		if epoch >= at {
			lr *= u.LRDrops[i]
		}
	}
	near(t, "rate", []float64{lr}, []float64{want.LR}, 0)
	near(t, "gates", gates, want.Mask, 1e-12)
	loss, dw, db := m.gradient(gates, want.Batch)
	for _, g := range gates {
		loss += u.Lambda * g
	}
	near(t, "loss", []float64{loss}, []float64{want.Loss}, 1e-3)
	near(t, "dw", dw, want.GradW, 1e-3)
	near(t, "db", []float64{db}, []float64{want.GradB}, 1e-3)
	if now.Phase != PhaseFinal {
		ds := make([]float64, len(dw))
		for i := range ds {
			ds[i] = Slope(m.s[i], m.w[i], dw[i], now.Beta, m.factor, u.Lambda)
			m.s[i] = m.update(m.s[i], ds[i], &m.ms[i], lr, 0)
		}
		near(t, "ds", ds, want.GradS, 1e-3)
	}
	for i := range m.w {
		m.w[i] = m.update(m.w[i], dw[i], &m.mw[i], lr, u.Decay)
	}
	m.b = m.update(m.b, db, &m.mb, lr, u.Decay)
	m.first = false
	near(t, "w", m.w, want.W, 1e-3)
	near(t, "b", []float64{m.b}, []float64{want.B}, 1e-3)
	near(t, "s", m.s, want.S, 1e-3)
	kept := 0
	for _, s := range m.s {
		kept += int(Hard(s, 1))
	}
	if kept != want.Kept {
		t.Errorf("%d kept, want %d", kept, want.Kept)
	}
}

// gradient is the loss without penalty on a batch and its gradient.
func (m *regression) gradient(gates []float64, batch int) (loss float64, dw []float64, db float64) {
	u := m.c.Setup
	rows, k := len(u.X), u.Batches
	from := batch*(rows/k) + min(batch, rows%k)
	to := from + rows/k
	if batch < rows%k {
		to++
	}
	dw = make([]float64, len(m.w))
	n := float64(to - from)
	for i := from; i < to; i++ {
		e := m.b - u.Y[i]
		for j, x := range u.X[i] {
			e += x * m.w[j] * gates[j]
		}
		loss += e * e / 2 / n
		db += e / n
		for j, x := range u.X[i] {
			dw[j] += gates[j] * e * x / n
		}
	}
	return loss, dw, db
}

// update is a step of SGD with Nesterov momentum.
func (m *regression) update(x, g float64, buf *float64, lr, decay float64) float64 {
	g += decay * x
	if m.first {
		*buf = g
	} else {
		*buf = m.c.Setup.Momentum**buf + g
	}
	return x - lr*(g+m.c.Setup.Momentum**buf)
}
