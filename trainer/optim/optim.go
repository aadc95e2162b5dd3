// Package optim updates parameters: SGD with momentum, Adam and AdamW, with
// parameter groups and a learning rate and age of their own for every
// sub-network that growth added; and the schedules of the base rate.
//
// The arithmetic of an update is a kernel of the device (kernels.SGD,
// kernels.Adam): one pass over the parameter. This package describes those
// ops for a network, keeps the slots (momentum, moments) and the small tables
// that the ops read: the rate factor, first-step flag and bias correction of
// every block.
//
// Left to others: which factor a block gets (methods), clipping and the sum
// over shards (trainer).
package optim

import (
	"fmt"
	"math"
	"slices"
)

// Kind names an optimizer.
type Kind string

// Optimizers.
const (
	SGD   Kind = "sgd"
	Adam  Kind = "adam"
	AdamW Kind = "adamw"
)

// Config chooses an optimizer. Validate says what is wrong with it.
type Config struct {
	Kind Kind

	// LR is the base learning rate, before schedule and block factors.
	LR float64
	// WeightDecay is coupled (added to the gradient) for sgd and adam,
	// decoupled for adamw.
	WeightDecay float64
	// SpareNorms exempts biases and norm parameters from weight decay.
	SpareNorms bool

	Momentum, Dampening float64 // sgd
	Nesterov            bool    // sgd

	Beta1, Beta2, Eps float64 // adam, adamw
}

// Defaults are the usual settings of an optimizer.
func Defaults(k Kind) Config {
	switch k {
	case Adam:
		return Config{Kind: k, LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8}
	case AdamW:
		return Config{Kind: k, LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, SpareNorms: true}
	}
	return Config{Kind: SGD, LR: 0.1, Momentum: 0.9, WeightDecay: 5e-4}
}

// Validate lists everything that is wrong.
func (c Config) Validate() error {
	if !slices.Contains([]Kind{SGD, Adam, AdamW}, c.Kind) {
		return fmt.Errorf("optimizer %q: want sgd, adam or adamw", c.Kind)
	}
	for _, r := range []struct {
		name   string
		v      float64
		lo, hi float64
	}{
		{"learning rate", c.LR, 0, math.MaxFloat32}, {"weight decay", c.WeightDecay, 0, 1},
		{"momentum", c.Momentum, 0, 1}, {"dampening", c.Dampening, 0, 1},
		{"beta1", c.Beta1, 0, 1}, {"beta2", c.Beta2, 0, 1}, {"eps", c.Eps, 0, 1},
	} {
		if !(r.v >= r.lo && r.v <= r.hi) { // NaN fails too
			return fmt.Errorf("optimizer %s: %s %v: want %v to %v", c.Kind, r.name, r.v, r.lo, r.hi)
		}
	}
	switch {
	case c.Kind == SGD && c.Nesterov && (c.Momentum == 0 || c.Dampening != 0):
		return fmt.Errorf("optimizer sgd: nesterov needs momentum and no dampening")
	case c.Kind == SGD && c.Momentum == 1:
		return fmt.Errorf("optimizer sgd: momentum 1 never forgets; want less than 1")
	case c.Kind != SGD && (c.Beta1 == 1 || c.Beta2 == 1 || c.Eps == 0):
		return fmt.Errorf("optimizer %s: betas must be below 1 and eps above 0", c.Kind)
	}
	return nil
}

// Slots names the state that an optimizer keeps for every entry.
func (c Config) Slots() []string {
	switch {
	case c.Kind != SGD:
		return []string{"m", "v"}
	case c.Momentum != 0:
		return []string{"momentum"}
	}
	return nil
}
