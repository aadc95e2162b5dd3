package grow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Plan is everything that growing decides before the run: sizes, steps and
// batches of every stage. It is a pure function of its inputs and must not
// be changed.
type Plan struct {
	Config Config `json:"config"`

	// What the plan was made for. Batch is a multiple of Shards.
	Samples int     `json:"samples"` // of an epoch
	Epochs  float64 `json:"epochs"`
	Batch   int     `json:"batch"`
	Shards  int     `json:"shards"`

	Stages []Stage `json:"stages"`
	// Notes say what was rounded or cannot grow.
	Notes []string `json:"notes,omitempty"`
}

// Stage is the time from one growth event to the next.
type Stage struct {
	Multiplier float64        `json:"multiplier"` // share of its full size that a Dim has
	Dims       map[string]int `json:"dims"`       // size of every Dim
	Epochs     float64        `json:"epochs"`     // planned length
	Batch      int            `json:"batch"`
	First      uint64         `json:"first"` // step at whose boundary the stage begins
	Steps      uint64         `json:"steps"`
	Samples    uint64         `json:"samples"` // consumed in the stage
	// Phases are the stage's batches; the last stage may end with some
	// steps of a slightly larger one.
	Phases []trainer.Phase `json:"phases"`
}

// NewPlan plans the growth of a network with the given Dims (of which only
// names and full sizes count) over a number of epochs of so many samples.
// batch is the global batch of the last stage, rounded up to a multiple of
// shards like those of the other stages.
//
// The run consumes the samples of all whole batches that the epochs hold,
// exactly as many as training the full network with the same batch does.
func NewPlan(c Config, dims []*graph.Dim, samples int, epochs float64, batch, shards int) (*Plan, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	switch {
	case samples < 1 || !(epochs > 0 && epochs*float64(samples) < 1<<53):
		return nil, fmt.Errorf("grow: %v epochs of %d samples: want more than none", epochs, samples)
	case shards < 1 || batch < 1 || batch > 1<<30 || shards > 1<<30:
		return nil, fmt.Errorf("grow: batch %d in %d shards: want 1 or more of both", batch, shards)
	}
	p := &Plan{Config: c, Samples: samples, Epochs: epochs, Batch: roundUp(batch, shards), Shards: shards}
	p.Stages = make([]Stage, c.stages())
	if p.Batch != batch {
		p.note("batch %d rounded up to %d, a multiple of %d shards", batch, p.Batch, shards)
	}
	if err := p.setDims(dims); err != nil {
		return nil, err
	}
	if err := p.setEpochs(); err != nil {
		return nil, err
	}
	p.setBatches()
	return p, p.setSteps()
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// setDims gives every Dim its size in every stage.
func (p *Plan) setDims(dims []*graph.Dim) error {
	all := p.Config.multipliers()
	for t := range p.Stages {
		p.Stages[t].Multiplier = all[t]
		p.Stages[t].Dims = make(map[string]int, len(dims))
	}
	var kept, small []string
	for _, d := range dims {
		sizes := DimSizes(d.Full, all)
		switch {
		case p.Config.kept(d.Name):
			kept = append(kept, d.Name)
			sizes = DimSizes(0, all)
			for t := range sizes {
				sizes[t] = d.Full
			}
		case d.Full < 4:
			small = append(small, d.Name)
		}
		for t, s := range sizes {
			p.Stages[t].Dims[d.Name] = s
		}
	}
	if len(p.Config.Keep) > 0 && len(kept) == 0 {
		return fmt.Errorf("grow: keep %q names none of the network's Dims", p.Config.Keep)
	}
	if len(p.Stages) > 1 && len(small) > 0 {
		p.note("too small to be cut in pairs, full from the start: %s", strings.Join(small, ", "))
	}
	for t := 1; t < len(p.Stages); t++ {
		if equalDims(p.Stages[t-1].Dims, p.Stages[t].Dims) {
			p.note("no Dim grows at stage %d", t+1)
		}
	}
	return nil
}

func equalDims(a, b map[string]int) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// setEpochs gives every stage its length.
func (p *Plan) setEpochs() error {
	c, n := &p.Config, len(p.Stages)
	lengths := c.Epochs
	if len(lengths) == 0 {
		lengths = StageEpochs(p.Epochs, c.Epochs0, c.EpochGrowth, n)
	}
	sum := 0.0
	for t, e := range lengths {
		p.Stages[t].Epochs = e
		sum += e
	}
	if math.Abs(sum-p.Epochs) > 1e-6*p.Epochs {
		return fmt.Errorf("grow: epochs of the stages add up to %v, the run has %v", sum, p.Epochs)
	}
	if last := lengths[n-1]; last <= 0 {
		return fmt.Errorf("grow: the first %d stages take %v epochs, the run has %v: want smaller epochs0 or fewer stages, or epochs0 0 to fit them",
			n-1, p.Epochs-last, p.Epochs)
	}
	return nil
}

// setBatches gives every stage its batch.
func (p *Plan) setBatches() {
	batches := p.Config.Batches
	if len(batches) == 0 {
		batches = Batches(p.Batch, p.Config.BatchGrowth, len(p.Stages))
	}
	for t, b := range batches {
		p.Stages[t].Batch = roundUp(b, p.Shards)
		if p.Stages[t].Batch != b {
			p.note("stage %d: batch %d rounded up to %d, a multiple of %d shards", t+1, b, p.Stages[t].Batch, p.Shards)
		}
	}
}

// setSteps turns epochs into steps. Stage t ends where the whole steps do
// that fit in the samples up to its planned end; what is left over at the
// end of the run makes the batches of its last steps larger, by as little as
// possible.
func (p *Plan) setSteps() error {
	n := len(p.Stages)
	total := uint64(p.Epochs*float64(p.Samples)+1e-6) / uint64(p.Batch) * uint64(p.Batch)
	var used, step uint64
	planned := 0.0
	for t := range p.Stages {
		s := &p.Stages[t]
		planned += s.Epochs
		end := min(uint64(math.Round(planned*float64(p.Samples))), total)
		if t == n-1 {
			end = total
		}
		batch := uint64(s.Batch)
		if end > used {
			s.Steps = (end - used) / batch
		}
		if s.Steps == 0 {
			return fmt.Errorf("grow: stage %d of %d has no steps: %.3g epochs of %d samples in batches of %d; want more epochs, fewer stages or a smaller batch",
				t+1, n, s.Epochs, p.Samples, s.Batch)
		}
		s.First, s.Samples = step, s.Steps*batch
		s.Phases = []trainer.Phase{{Steps: s.Steps, Batch: s.Batch}}
		if t == n-1 {
			s.Samples = end - used
			s.Phases = spread(s.Steps, s.Batch, int(s.Samples-s.Steps*batch), p.Shards)
		}
		used += s.Samples
		step += s.Steps
	}
	return nil
}

// spread makes the last of so many steps take rest samples more, a multiple
// of unit, by as few units a step as possible.
func spread(steps uint64, batch, rest, unit int) []trainer.Phase {
	units := uint64(rest / unit)
	each, more := int(units/steps), units%steps
	phases := []trainer.Phase{{Steps: steps - more, Batch: batch + each*unit}}
	if more > 0 {
		phases = append(phases, trainer.Phase{Steps: more, Batch: batch + (each+1)*unit})
	}
	return phases
}

// Sizes is the shape of the network in stage t, with the sizes of all stages
// before.
func (p *Plan) Sizes(t int) graph.Sizes {
	s := graph.Sizes{}
	for name := range p.Stages[t].Dims {
		for _, stage := range p.Stages[:t+1] {
			s[name] = append(s[name], stage.Dims[name])
		}
	}
	return s
}

// Initial is the shape that the run begins with.
func (p *Plan) Initial() graph.Sizes { return p.Sizes(0) }

// Timeline is the run's list of batches.
func (p *Plan) Timeline() []trainer.Phase {
	var all []trainer.Phase
	for _, s := range p.Stages {
		all = append(all, s.Phases...)
	}
	return all
}

// Steps is the length of the run, TotalSamples what it consumes.
func (p *Plan) Steps() uint64 {
	last := p.Stages[len(p.Stages)-1]
	return last.First + last.Steps
}

// TotalSamples is the number of samples of the run.
func (p *Plan) TotalSamples() (n uint64) {
	for _, s := range p.Stages {
		n += s.Samples
	}
	return n
}

// Cost is the work of the run, and of training the full network on the same
// samples, given the work of one sample at a shape: Σ samples_t·F(C_t) and
// Σ samples_t·F(C). [Flops] is such a function.
func (p *Plan) Cost(flops func(graph.Sizes) (float64, error)) (grown, fixed float64, err error) {
	full := 0.0
	for t := len(p.Stages) - 1; t >= 0; t-- {
		f, err := flops(p.Sizes(t))
		if err != nil {
			return 0, 0, fmt.Errorf("grow: cost of stage %d: %w", t+1, err)
		}
		if t == len(p.Stages)-1 {
			full = f
		}
		grown += float64(p.Stages[t].Samples) * f
		fixed += float64(p.Stages[t].Samples) * full
	}
	return grown, fixed, nil
}

// Hash identifies the plan.
func (p *Plan) Hash() string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("grow: plan: %v", err)) // plain data always marshals
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// String is a table of the stages, for logs.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s %8s %8s %7s %9s %9s\n", "stage", "width", "epochs", "batch", "steps", "from step")
	for t, s := range p.Stages {
		fmt.Fprintf(&b, "%-6d %8.5g %8.4g %7d %9d %9d\n", t+1, s.Multiplier, s.Epochs, s.Batch, s.Steps, s.First)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}
