package joint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/sparsify"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Plan says what happens at which step of a run, and what weights cost. It is
// a function of configuration, model and plain data.
type Plan struct {
	Config Config `json:"config"`
	Steps  uint64 `json:"steps"`
	// First is the first step of the search, Switch the first behind it.
	First  uint64 `json:"first"`
	Switch uint64 `json:"switch"`
	// Uses are the multiply-adds of a sample that use one number of a priced
	// weight, forward. Layers that share templates add to the same.
	Uses map[string]float64 `json:"uses"`
	// Flops are those of a sample in the full network, forward.
	Flops float64 `json:"flops"`
}

// Phase says what a step is part of.
type Phase uint8

// Phases in their order.
const (
	PhaseFull   Phase = iota // nothing is priced yet
	PhaseSearch              // gates and precisions are trained
	PhaseFixed               // some channels are gone, the others are rounded
)

// NewPlan lays the phases over a run of a model: its time line, and the number
// of samples of an epoch.
func NewPlan(c Config, model models.Spec, timeline []trainer.Phase, samples int) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	q, err := quantize.NewPlan(c.precision(), timeline, samples)
	if err != nil {
		return nil, fmt.Errorf("joint: %s", strings.TrimPrefix(err.Error(), "quantize: "))
	}
	if q.Switch < q.First+2 {
		return nil, fmt.Errorf("joint: a search of %d step cannot raise the temperature: make it longer", q.Switch-q.First)
	}
	g, err := models.Trace(model, graph.Config{}, 1)
	if err != nil {
		return nil, err
	}
	return &Plan{Config: c, Steps: q.Steps, First: q.First, Switch: q.Switch, Uses: uses(&c, g), Flops: float64(g.Flops())}, nil
}

// uses finds what works with every priced weight. Templates work through the
// mixes that their coefficients make, in equal parts.
func uses(c *Config, g *graph.Graph) map[string]float64 {
	work := map[string]int64{}
	for p, n := range g.Work() {
		work[p.Name] += n
	}
	all := map[string]float64{}
	for _, p := range g.Params() {
		if !c.Prices(p) {
			continue
		}
		n := work[p.Name]
		if bank, ok := strings.CutSuffix(p.Name, templates); ok {
			n += work[bank+".coefficients"]
		}
		all[p.Name] = float64(n) / 2 / float64(p.W.Len())
	}
	return all
}

// unit is u of a weight.
func (p *Plan) unit(weight string) float64 {
	if p.Config.Cost == CostFlops {
		return p.Uses[weight]
	}
	return 1
}

// At says what a step is part of.
func (p *Plan) At(step uint64) Phase {
	switch {
	case step < p.First:
		return PhaseFull
	case step < p.Switch:
		return PhaseSearch
	}
	return PhaseFixed
}

// Beta is the temperature of a step of the search: from 1 to
// Config.Temperature, by equal factors.
func (p *Plan) Beta(step uint64) float64 {
	return sparsify.Temperature(p.Config.Temperature, int(step-p.First), int(p.Switch-p.First))
}

// rates are Adam's, for gates and precisions.
func (p *Plan) rates() Variable {
	n := float64(p.Switch - p.First)
	r := Variable{p.Config.GateRate, p.Config.Rate}
	if r.Gate == 0 {
		r.Gate = math.Min(0.05, 1/n)
	}
	if r.Precision == 0 {
		r.Precision = math.Min(0.5, 10/n)
	}
	return r
}

// Hash identifies the plan.
func (p *Plan) Hash() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
