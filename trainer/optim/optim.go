// Package optim updates parameters: SGD with momentum, CSGD, Adam, AdamW,
// Delayed Adam, AvaGrad, AvaGradW, AdaBound and AdaBoundW, with a learning
// rate and age of their own for every sub-network that growth added; and the
// schedules of the base rate. README.md describes every optimizer.
//
// The arithmetic of an update is a kernel of the device (kernels.SGD,
// kernels.Adam, kernels.AvaGrad, kernels.AdaBound): one pass over the
// parameter. This package describes those ops for a network, keeps the slots
// (momentum, moments) and the small tables that the ops read: the rate
// factor, first-step flag, bias corrections and bounds of every block, and
// AvaGrad's normaliser.
//
// Promises: an update is a function of the reduced gradients, the state and
// the number of updates, to the bit: sums over all parameters are accumulated
// in float64 in a fixed order, on every rank alike. All state is in slots and
// [State.Scalars]; resumed from them a run goes on with the same bits.
//
// Left to others: which factor a block gets (methods), clipping and the sum
// over shards (trainer). Package convergence has the published rules in
// float64 and the problems that tell them apart.
package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kind names an optimizer.
type Kind string

// Optimizers.
const (
	SGD         Kind = "sgd"
	CSGD        Kind = "csgd" // dampened, bias-corrected momentum (Savarese, arXiv 1908.04457, section 5)
	Adam        Kind = "adam"
	AdamW       Kind = "adamw"
	DelayedAdam Kind = "delayed-adam" // AvaGrad without normaliser
	AvaGrad     Kind = "avagrad"      // Savarese et al., arXiv 1912.01823
	AvaGradW    Kind = "avagradw"
	AdaBound    Kind = "adabound" // Luo et al., arXiv 1902.09843
	AdaBoundW   Kind = "adaboundw"
)

// Kinds lists all optimizers.
var Kinds = []Kind{SGD, CSGD, Adam, AdamW, DelayedAdam, AvaGrad, AvaGradW, AdaBound, AdaBoundW}

// Mode chooses among the published forms of an optimizer.
type Mode string

// Modes of Delayed Adam, AvaGrad and AdaBound.
const (
	// Official is the authors' code. AvaGrad and Delayed Adam: bias
	// corrected, a block's first update moves the moments only, and
	// AvaGrad's normaliser is of the step before. AdaBound: bias corrected,
	// with Eps.
	Official Mode = "official"
	// Paper is the algorithm as printed, without bias correction. AdaBound:
	// algorithm 1 of arXiv 1908.04457, whose rate falls as 1/√t.
	Paper Mode = "paper"
	// Fresh is Official with a normaliser made of the rates of this very
	// step: the mean square of normaliser·rate is 1. Not for AdaBound.
	Fresh Mode = "fresh"
)

// Config chooses an optimizer. Validate says what is wrong with it.
type Config struct {
	Kind Kind
	Mode Mode // delayed-adam, avagrad(w), adabound(w); empty means Official

	// LR is the base learning rate, before schedule and block factors.
	LR float64
	// WeightDecay is coupled (added to the gradient), but decoupled for
	// adamw and avagradw (times the learning rate) and for adaboundw (taken
	// off every step, whatever the rate: as released).
	WeightDecay float64
	// SpareNorms exempts biases and norm parameters from weight decay.
	SpareNorms bool

	Momentum  float64 // sgd, csgd
	Dampening float64 // sgd
	Nesterov  bool    // sgd

	Beta1, Beta2, Eps float64 // all but sgd and csgd; no Eps in adabound's Paper

	// FinalLR is the rate at which AdaBound arrives when its base rate is
	// LR; Gamma is the speed at which its bounds close, per step.
	FinalLR, Gamma float64
	AMS            bool       // adabound(w): never forget a large gradient (AMSBound)
	Beta1OverT     bool       // adabound's Paper: Beta1/t in step t
	Box            [2]float64 // adabound's Paper: keeps parameters in a range; {0, 0} does not
}

// Defaults are the usual settings of an optimizer: those of the authors' code,
// except that momentum is on and AvaGrad's eps is used for Delayed Adam.
func Defaults(k Kind) Config {
	c := Config{Kind: k, LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
	switch k {
	case Adam:
	case AdamW:
		c.WeightDecay, c.SpareNorms = 0.01, true
	case DelayedAdam:
		c.Mode, c.LR, c.Eps = Official, 0.1, 0.1
	case AvaGrad, AvaGradW:
		c.Mode, c.LR, c.Eps = Official, 0.1, 0.1
	case AdaBound, AdaBoundW:
		c.Mode, c.FinalLR, c.Gamma = Official, 0.1, 1e-3
	case CSGD:
		return Config{Kind: k, LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4}
	default:
		return Config{Kind: SGD, LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4}
	}
	return c
}

func (c Config) is(ks ...Kind) bool { return slices.Contains(ks, c.Kind) }

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	if !c.is(Kinds...) {
		names := make([]string, len(Kinds))
		for i, k := range Kinds {
			names[i] = string(k)
		}
		return fmt.Errorf("optimizer %q: want one of %s", c.Kind, strings.Join(names, ", "))
	}
	for _, r := range []struct {
		name   string
		v      float64
		lo, hi float64
	}{
		{"learning rate", c.LR, 0, math.MaxFloat32}, {"weight decay", c.WeightDecay, 0, 1},
		{"momentum", c.Momentum, 0, 1}, {"dampening", c.Dampening, 0, 1},
		{"beta1", c.Beta1, 0, 1}, {"beta2", c.Beta2, 0, 1}, {"eps", c.Eps, 0, 1e9},
		{"final rate", c.FinalLR, 0, 1e9}, {"gamma", c.Gamma, 0, 1e9},
		{"lower end of the box", c.Box[0], -math.MaxFloat32, math.MaxFloat32}, {"upper end of the box", c.Box[1], -math.MaxFloat32, math.MaxFloat32},
	} {
		if !(r.v >= r.lo && r.v <= r.hi) { // NaN fails too
			return fmt.Errorf("optimizer %s: %s %v: want %v to %v", c.Kind, r.name, r.v, r.lo, r.hi)
		}
	}
	if err := c.validateMode(); err != nil {
		return fmt.Errorf("optimizer %s: %w", c.Kind, err)
	}
	switch sgd := c.is(SGD, CSGD); {
	case c.Nesterov && (c.Kind != SGD || c.Momentum == 0 || c.Dampening != 0):
		return fmt.Errorf("optimizer %s: nesterov needs sgd with momentum and no dampening", c.Kind)
	case c.Kind == CSGD && c.Dampening != 0:
		return fmt.Errorf("optimizer csgd: its dampening is its momentum; leave dampening out")
	case sgd && c.Momentum == 1:
		return fmt.Errorf("optimizer %s: momentum 1 never forgets; want less than 1", c.Kind)
	case !sgd && (c.Beta1 == 1 || c.Beta2 == 1 || c.Eps == 0 && !c.algorithm1()):
		return fmt.Errorf("optimizer %s: betas must be below 1 and eps above 0", c.Kind)
	}
	return nil
}

// validateMode checks the mode and what only some optimizers have.
func (c Config) validateMode() error {
	delayed, bound := c.is(DelayedAdam, AvaGrad, AvaGradW), c.is(AdaBound, AdaBoundW)
	modes := map[bool][]Mode{true: {"", Official, Paper, Fresh}, false: {"", Official, Paper}}[delayed]
	switch {
	case !delayed && !bound && c.Mode != "":
		return fmt.Errorf("mode %s: it has no modes", c.Mode)
	case !slices.Contains(modes, c.Mode):
		return fmt.Errorf("mode %q: want one of %v", c.Mode, modes[1:])
	case delayed && c.Eps < 1e-12:
		return fmt.Errorf("eps %v: want at least 1e-12; squares of rates up to 1/eps are summed", c.Eps)
	case c.Kind == AdaBoundW && c.Mode == Paper:
		return fmt.Errorf("mode paper: algorithm 1 has no decoupled decay; use adabound")
	case bound && (c.LR == 0 || c.FinalLR == 0 || c.Gamma == 0):
		return fmt.Errorf("learning rate %v, final rate %v and gamma %v: want all above 0, the bounds are made of them", c.LR, c.FinalLR, c.Gamma)
	case bound && !(c.FinalLR/c.LR*(1+1/c.Gamma) < math.MaxFloat32):
		return fmt.Errorf("final rate %v, %v times the learning rate, with gamma %v: bounds too wide for float32", c.FinalLR, c.FinalLR/c.LR, c.Gamma)
	case !bound && (c.FinalLR != 0 || c.Gamma != 0 || c.AMS):
		return fmt.Errorf("final rate, gamma and ams belong to adabound")
	case !c.algorithm1() && (c.Beta1OverT || c.Box != [2]float64{}):
		return fmt.Errorf("beta1 over t and a box belong to adabound in mode paper")
	case c.Box != [2]float64{} && !(c.Box[0] < c.Box[1]):
		return fmt.Errorf("box %v: want its lower end first", c.Box)
	}
	return nil
}

// algorithm1 tells AdaBound's paper form from its released one.
func (c Config) algorithm1() bool { return c.Kind == AdaBound && c.Mode == Paper }

// normalizes reports whether all rates are divided by their root mean square.
func (c Config) normalizes() bool { return c.is(AvaGrad, AvaGradW) }

// lags reports whether the normaliser of a step is made in the one before.
func (c Config) lags() bool { return c.normalizes() && (c.Mode == Official || c.Mode == "") }

// Slots names the state that an optimizer keeps for every entry.
func (c Config) Slots() []string {
	switch {
	case c.AMS:
		return []string{"m", "v", "vmax"}
	case !c.is(SGD, CSGD):
		return []string{"m", "v"}
	case c.Momentum != 0:
		return []string{"momentum"}
	}
	return nil
}
