package structured

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Plan says what happens at which step of a run. It is a function of
// configuration, model and plain data.
type Plan struct {
	Config Config `json:"config"`
	Steps  uint64 `json:"steps"`
	// First is the step at which masks come to life, Final the one from
	// which on the structure is decided.
	First uint64 `json:"first"`
	Final uint64 `json:"final"`
	// Queries are the steps before which indicators are drawn anew. The
	// first structure, at First, is not drawn.
	Queries []uint64 `json:"queries"`
	Space   *Space   `json:"space"`
}

// NewPlan lays the search over a run of a model: its time line, and the number
// of samples of an epoch.
func NewPlan(c Config, model models.Spec, timeline []trainer.Phase, samples int) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	g, err := models.Trace(model, graph.Config{}, 1)
	if err != nil {
		return nil, err
	}
	p := &Plan{Config: c}
	if p.Space, err = NewSpace(&c, g); err != nil {
		return nil, err
	}
	for _, ph := range timeline {
		p.Steps += ph.Steps
	}
	p.First = stepAt(timeline, c.Start*float64(samples))
	p.Final = p.First + uint64(math.Round(c.Final*float64(p.Steps-min(p.First, p.Steps))))
	for k := 1; ; k++ {
		q := stepAt(timeline, (c.Start+float64(k)*c.Period)*float64(samples))
		if q >= p.Final {
			break
		}
		if q > p.First && (len(p.Queries) == 0 || q > p.Queries[len(p.Queries)-1]) {
			p.Queries = append(p.Queries, q)
		}
	}
	switch {
	case c.Seed > 0 && p.First > 0:
		return nil, fmt.Errorf("structured: a network that trains before epoch %v is whole and cannot begin as a seed of %d: want start 0, or seed 0", c.Start, c.Seed)
	case p.Final >= p.Steps || p.Final <= p.First:
		return nil, fmt.Errorf("structured: a search from step %d to %d does not fit into a run of %d steps: start earlier, or final lower", p.First, p.Final, p.Steps)
	case len(p.Queries) == 0:
		return nil, fmt.Errorf("structured: no query in the %d steps before the structure is final: want a shorter period than %v epochs", p.Final-p.First, c.Period)
	case p.Space.Cost(p.Space.Counts(p.least())) > c.Budget*p.Space.FullCost():
		return nil, fmt.Errorf("structured: budget %v is below the %.3g of the smallest network, one unit in each Dim", c.Budget, p.Space.Cost(p.Space.Counts(p.least()))/p.Space.FullCost())
	}
	return p, nil
}

// stepAt is the first step that begins with so many samples consumed, rounded
// to the nearest.
func stepAt(timeline []trainer.Phase, samples float64) (step uint64) {
	for i, ph := range timeline {
		n := math.Round(samples / float64(ph.Batch))
		if n <= float64(ph.Steps) || i == len(timeline)-1 {
			return step + uint64(n)
		}
		step += ph.Steps
		samples -= float64(ph.Steps) * float64(ph.Batch)
	}
	return step
}

// least is the smallest network: one unit a group, no block that may go.
func (p *Plan) least() []bool {
	active := make([]bool, p.Space.Components())
	for _, g := range p.Space.Groups {
		active[g.First] = true
	}
	return active
}

// Seed is the first structure: the first units of every Dim and the first
// block, or all with a seed of 0.
func (p *Plan) Seed() []bool {
	active := make([]bool, p.Space.Components())
	n := p.Config.Seed
	for _, g := range p.Space.Groups {
		for i := range g.Full {
			active[g.First+i] = n == 0 || i < n
		}
	}
	for i := range p.Space.Blocks {
		active[p.Space.Units()+i] = n == 0 || i == 0
	}
	return active
}

// Initial are the sizes that the run starts with.
func (p *Plan) Initial() graph.Sizes {
	if p.Config.Seed == 0 {
		return nil
	}
	s := graph.Sizes{}
	for i, n := range p.Space.Counts(p.Space.Settle(p.Seed(), make([]float32, p.Space.Components()), 1)) {
		s[p.Space.Groups[i].Dim] = []int{int(n)}
	}
	return s
}

// Progress is the share of the search's run that is done before a step.
func (p *Plan) Progress(step uint64) float64 {
	if step <= p.First {
		return 0
	}
	return float64(step-p.First) / float64(p.Steps-p.First)
}

// Query is the number of the query before a step, counted from 1; 0 when
// there is none.
func (p *Plan) Query(step uint64) int {
	for i, q := range p.Queries {
		if q == step {
			return i + 1
		}
	}
	return 0
}

// SeedSparsity is 1 - cost/(full cost) of the first structure.
func (p *Plan) SeedSparsity() float64 {
	return 1 - p.Space.Cost(p.Space.Counts(p.Space.Settle(p.Seed(), make([]float32, p.Space.Components()), 1)))/p.Space.FullCost()
}

// Hash identifies the plan.
func (p *Plan) Hash() string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("structured: plan: %v", err)) // it has only plain fields
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
