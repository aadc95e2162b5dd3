package sparsify

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"

	"github.com/espalier-ml/espalier/trainer/graph"
)

// Goal says what a search is for.
type Goal string

// Goals.
const (
	// GoalTicket looks for a sub-network of the young network: after the
	// last round weights go back to where they were early in the first one,
	// and what the hard mask keeps is trained again (algorithm 2 of the
	// paper).
	GoalTicket Goal = "ticket"
	// GoalPrune keeps the weights that the search has trained; what is left
	// of the run fine-tunes them under the hard mask (algorithm 1).
	GoalPrune Goal = "prune"
)

// Scale says what an open gate multiplies its weight by.
type Scale string

// Kinds of scaling.
const (
	// ScaleInit is 1/σ(s₀), as in the authors' code: every round begins with
	// gates of exactly 1, and the hard mask keeps the factor.
	ScaleInit Scale = "init"
	// ScaleNone is 1, as the objective is written: a gate is σ(βs), so that
	// a round begins with all weights times σ(s₀), and the hard mask is 0
	// or 1.
	ScaleNone Scale = "none"
)

// Rise says how often the temperature rises within a round.
type Rise string

// Kinds of rise.
const (
	RiseEpoch Rise = "epoch" // at the start of every epoch but the first
	RiseStep  Rise = "step"  // at every step
)

// Config says how a network is thinned. Defaults fills it; all fields count.
type Config struct {
	// Goal is ticket or prune. Default ticket.
	Goal Goal `json:"goal"`
	// S0 is the value s₀ at which all soft-mask parameters start: the knob
	// for sparsity. Lower is sparser; the paper's range is about -0.3 to 0.3.
	// Default 0.
	S0 float64 `json:"s0"`
	// Temperature is β_T, which β reaches from 1 in every round. 100 to 200
	// are safe. Default 200.
	Temperature float64 `json:"temperature"`
	// Rise is how often β rises: epoch (as published) or step. Default epoch.
	Rise Rise `json:"rise"`
	// Penalty is the factor λ of the sum of all gates in the objective.
	// Default 1e-8.
	Penalty float64 `json:"penalty"`
	// Scale is init or none. Default init.
	Scale Scale `json:"scale"`
	// Rate multiplies the learning rate of soft-mask parameters; 0 leaves them
	// as they are. Default 1.
	Rate float64 `json:"rate"`

	// Rounds is the number of rounds; each goes on from what the one before
	// removed. Default 3.
	Rounds int `json:"rounds"`
	// Epochs is the length of a round. What the run has left behind the
	// last round trains under the hard mask. 0 divides the run: for a ticket
	// into equal parts, one of them for its training; for pruning into the
	// rounds alone. Default 0.
	Epochs float64 `json:"epochs"`
	// Start is the epoch at which the first round begins; until then the
	// network trains as it is, or grows. Default 0.
	Start float64 `json:"start"`
	// Rewind is the epoch k of the first round at whose start the network is
	// remembered, for a ticket. Default 2.
	Rewind float64 `json:"rewind"`
	// HardEval measures the network under the hard mask during rounds too;
	// otherwise rounds are measured as they train, with soft gates. Default
	// false.
	HardEval bool `json:"hard_eval"`

	// Layers names the weights that get gates, Skip those that do not; *
	// stands for any part of a name: "layer*.conv?.weight". Without Layers
	// they are all linear maps and convolutions but classifiers, embeddings,
	// depthwise kernels, and 1×1 convolutions (projections of shortcuts).
	Layers []string `json:"layers,omitempty"`
	Skip   []string `json:"skip,omitempty"`
}

// Defaults are the settings of the authors' code.
func Defaults() Config {
	return Config{Goal: GoalTicket, Temperature: 200, Rise: RiseEpoch, Penalty: 1e-8, Scale: ScaleInit, Rate: 1,
		Rounds: 3, Rewind: 2}
}

// maxRounds bounds the number of rounds.
const maxRounds = 1000

// Validate lists everything that is wrong.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("sparsify: "+format, args...))
		}
	}
	within := func(name string, v, lo, hi float64) {
		check(v >= lo && v <= hi, "%s %v: want %v to %v", name, v, lo, hi) // NaN fails too
	}
	check(slices.Contains([]Goal{GoalTicket, GoalPrune}, c.Goal), "goal %q: want ticket or prune", c.Goal)
	check(slices.Contains([]Scale{ScaleInit, ScaleNone}, c.Scale), "scale %q: want init or none", c.Scale)
	check(slices.Contains([]Rise{RiseEpoch, RiseStep}, c.Rise), "rise %q: want epoch or step", c.Rise)
	within("s0", c.S0, -10, 10)
	within("temperature", c.Temperature, 1, 1e6)
	within("penalty", c.Penalty, 0, 1e3)
	within("rate", c.Rate, 0, 1e3)
	within("epochs", c.Epochs, 0, 1e6)
	within("start", c.Start, 0, 1e6)
	within("rewind", c.Rewind, 0, 1e6)
	check(c.Rounds >= 1 && c.Rounds <= maxRounds, "%d rounds: want 1 to %d", c.Rounds, maxRounds)
	check(c.Rise != RiseEpoch || c.Epochs == math.Trunc(c.Epochs), "rounds of %v epochs with a temperature that rises by epochs: want whole epochs, or rise: step", c.Epochs)
	for _, p := range slices.Concat(c.Layers, c.Skip) {
		_, err := path.Match(p, "")
		check(err == nil, "layers %q: %v", p, err)
	}
	return errors.Join(all...)
}

// explainNone says why no weight has gates.
func (c *Config) explainNone() string {
	if len(c.Layers)+len(c.Skip) > 0 {
		return fmt.Sprintf("no name fits layers %q without skip %q", c.Layers, c.Skip)
	}
	return "it has no linear map or convolution besides those that stay dense; name some with layers"
}

// Gates reports whether a parameter gets gates.
func (c *Config) Gates(p *graph.Param) bool {
	if p.State || p.Local || len(p.Axes) < 2 || matches(c.Skip, p.Name) {
		return false
	}
	if len(c.Layers) > 0 {
		return matches(c.Layers, p.Name)
	}
	if p.In < 0 || p.Out < 0 || p.NoDecay || p.Init == graph.InitOut || p.Init == graph.InitStd {
		return false
	}
	return len(p.Axes) != 4 || p.Axes[0].Size()*p.Axes[1].Size() > 1
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

// factor is the value c of an open gate.
func (c *Config) factor() float64 {
	if c.Scale == ScaleNone {
		return 1
	}
	return 1 / Sigmoid(c.S0)
}
