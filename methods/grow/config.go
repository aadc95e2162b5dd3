package grow

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
)

// VT says what happens to old weights when a layer gets more inputs: variance
// transfer. README.md has the rules and where they come from.
type VT string

// Modes of variance transfer.
const (
	// VTNone leaves old weights alone.
	VTNone VT = "none"
	// VTPaper multiplies old weights by √(C/C') and in the output layer by
	// C/C'. The last weights of residual branches without a norm behind
	// them are left alone.
	VTPaper VT = "paper"
	// VTExact multiplies only weights behind which batch norm takes the
	// scale away again: no event changes the function.
	VTExact VT = "exact"
	// VTRamp is exact at the event and goes on to VTPaper's values over
	// RampSteps steps.
	VTRamp VT = "ramp"
	// VTConstraint is VTPaper with a factor measured from the weights: the
	// one that gives old entries the variance of new ones.
	VTConstraint VT = "constraint"
)

// LRA says how the learning rates of the sub-networks of a layer, one for
// every growth stage, relate to each other: by ratios of a statistic to that
// of the sub-network of stage 0.
type LRA string

// Kinds of learning rate adaptation.
const (
	LRAAuto LRA = "auto" // norm under SGD, none under Adam
	LRANone LRA = "none" // one rate for all
	LRANorm LRA = "norm" // ‖W_k‖ / ‖W_0‖
	LRARMS  LRA = "rms"  // the same of root mean squares: without the effect of size
	LRALARS LRA = "lars" // ‖W_k‖/‖G_k‖: equal relative change of every sub-network
)

// Init says where the values of new units come from.
type Init string

// Kinds of new units.
const (
	// InitPairs adds units in pairs with equal inputs and opposite outputs:
	// a random addition that leaves the function alone.
	InitPairs Init = "pairs"
	// InitNet2Net copies random old units and shares their outgoing weights
	// among the copies (Chen et al., arXiv 1511.05641).
	InitNet2Net Init = "net2net"
	// InitRandom draws new weights as in a new network.
	InitRandom Init = "random"
)

// Config says how a network grows. Defaults fills it; all fields count.
type Config struct {
	// Stages is the number of sizes that the network goes through, the
	// full one included: one more than there are growth events. 1 never
	// grows. Default 9.
	Stages int `json:"stages"`
	// Start is the share of its full size that a Dim begins with. Default
	// 0.25.
	Start float64 `json:"start"`
	// Growth is the share p_c of its current size that a Dim adds in a
	// stage. Default 0.2.
	Growth float64 `json:"growth"`
	// Multipliers replaces Stages, Start and Growth: the share of its full
	// size that every Dim has in each stage. It rises and ends with 1.
	Multipliers []float64 `json:"multipliers,omitempty"`
	// Keep names Dims that have their full size from the start; * stands for
	// any part of a name: "*.heads".
	Keep []string `json:"keep,omitempty"`

	// Epochs0 is the length T₀ of the first stage in epochs. Integers are
	// rounded as in the paper, fractions are not; 0 chooses it such that
	// the last stage gets a fifth of the run. Default 0.
	Epochs0 float64 `json:"epochs0"`
	// EpochGrowth is the share p_t by which each stage is longer than the
	// one before; 0 gives all but the last the same length. Default 0.2.
	EpochGrowth float64 `json:"epoch_growth"`
	// Epochs replaces Epochs0 and EpochGrowth: the length of every stage.
	Epochs []float64 `json:"epochs,omitempty"`

	// BatchGrowth is the share p_b by which the batch of a stage exceeds
	// the next one's; the last stage has the job's batch. It buys seconds
	// for a little accuracy. 0.2 is the paper's, 0 keeps one batch. Default 0.
	BatchGrowth float64 `json:"batch_growth"`
	// Batches replaces BatchGrowth: the global batch of every stage.
	Batches []int `json:"batches,omitempty"`

	// VT is the mode of variance transfer. Default paper.
	VT VT `json:"vt"`
	// RampSteps is the length of the ramp of VTRamp. Default 200.
	RampSteps int `json:"ramp_steps"`
	// Init says where new units come from. Default pairs.
	Init Init `json:"init"`
	// Noise is what InitNet2Net adds to the weights of a copy, as a share
	// of the deviation of a new network's weights: copies without noise
	// would stay equal for ever. Default 0.01.
	Noise float64 `json:"noise"`

	// LRA adapts the rates of sub-networks. Default auto.
	LRA LRA `json:"lra"`
	// OutRef is the width C_ref in the factor C_ref/C₀ of the output
	// layer's rate, C₀ its inputs at the start. 1 is the paper's literal
	// rule, 0 stands for C₀ itself: no factor. Default 0.
	OutRef float64 `json:"out_ref"`
	// Rewarm is what the rate of new entries rises to over RewarmSteps
	// steps after their event, as a multiple of the rate of the others; it
	// falls back along a cosine until the end of the run. 1 does nothing,
	// 1.3 is a good value where it helps. Defaults 1 and 250.
	Rewarm      float64 `json:"rewarm"`
	RewarmSteps int     `json:"rewarm_steps"`
}

// Defaults are the settings of the paper.
func Defaults() Config {
	return Config{Stages: 9, Start: 0.25, Growth: 0.2, EpochGrowth: 0.2, VT: VTPaper, RampSteps: 200,
		Init: InitPairs, Noise: 0.01, LRA: LRAAuto, Rewarm: 1, RewarmSteps: 250}
}

// maxStages bounds the number of stages: each adds a block to every tensor.
const maxStages = 256

// stages is the number of stages, whichever way it is given.
func (c *Config) stages() int {
	if len(c.Multipliers) > 0 {
		return len(c.Multipliers)
	}
	return c.Stages
}

// multipliers are the widths by stage, whichever way they are given.
func (c *Config) multipliers() []float64 {
	if len(c.Multipliers) > 0 {
		return c.Multipliers
	}
	return Multipliers(c.Stages, c.Start, c.Growth)
}

// Validate lists everything that is wrong.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("grow: "+format, args...))
		}
	}
	within := func(name string, v, lo, hi float64) {
		check(v >= lo && v <= hi, "%s %v: want %v to %v", name, v, lo, hi) // NaN fails too
	}
	check(c.stages() >= 1 && c.stages() <= maxStages, "%d stages: want 1 to %d", c.stages(), maxStages)
	within("start", c.Start, 1.0/reference, 1)
	within("growth", c.Growth, 0, 10)
	within("epochs0", c.Epochs0, 0, 1e6)
	within("epoch_growth", c.EpochGrowth, 0, 10)
	within("batch_growth", c.BatchGrowth, 0, 10)
	within("noise", c.Noise, 0, 1)
	within("out_ref", c.OutRef, 0, 1e6)
	within("rewarm", c.Rewarm, 0.1, 10)
	within("ramp_steps", float64(c.RampSteps), 1, 1e9)
	within("rewarm_steps", float64(c.RewarmSteps), 1, 1e9)
	check(slices.Contains([]VT{VTNone, VTPaper, VTExact, VTRamp, VTConstraint}, c.VT),
		"vt %q: want none, paper, exact, ramp or constraint", c.VT)
	check(slices.Contains([]LRA{LRAAuto, LRANone, LRANorm, LRARMS, LRALARS}, c.LRA),
		"lra %q: want auto, none, norm, rms or lars", c.LRA)
	check(slices.Contains([]Init{InitPairs, InitNet2Net, InitRandom}, c.Init),
		"init %q: want pairs, net2net or random", c.Init)
	check(c.Init != InitNet2Net || c.VT == VTNone, "init net2net shares weights among copies and knows no variance transfer: set vt to none, not %s", c.VT)
	for _, k := range c.Keep {
		_, err := path.Match(k, "")
		check(err == nil, "keep %q: %v", k, err)
	}
	all = append(all, c.checkLists())
	return errors.Join(all...)
}

// checkLists checks what is given stage by stage.
func (c *Config) checkLists() error {
	var all []error
	n := c.stages()
	for i, m := range c.Multipliers {
		if !(m > 0 && m <= 1) || i > 0 && m < c.Multipliers[i-1] || i == n-1 && m != 1 {
			all = append(all, fmt.Errorf("grow: multipliers %v: want rising shares above 0 that end with 1", c.Multipliers))
			break
		}
	}
	if len(c.Epochs) > 0 && len(c.Epochs) != n {
		all = append(all, fmt.Errorf("grow: epochs of %d stages given, there are %d", len(c.Epochs), n))
	}
	for t, e := range c.Epochs {
		if !(e > 0 && e < 1e6) || math.IsInf(e, 0) {
			all = append(all, fmt.Errorf("grow: stage %d of %d: %v epochs: want more than 0", t+1, n, e))
		}
	}
	if len(c.Batches) > 0 && len(c.Batches) != n {
		all = append(all, fmt.Errorf("grow: batches of %d stages given, there are %d", len(c.Batches), n))
	}
	for t, b := range c.Batches {
		if b < 1 || b > 1<<30 {
			all = append(all, fmt.Errorf("grow: stage %d of %d: batch %d: want 1 or more", t+1, n, b))
		}
	}
	return errors.Join(all...)
}

// kept reports whether a Dim stays full.
func (c *Config) kept(dim string) bool {
	return slices.ContainsFunc(c.Keep, func(pattern string) bool {
		ok, err := path.Match(pattern, dim)
		return err == nil && ok
	})
}
