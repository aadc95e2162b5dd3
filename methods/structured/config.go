package structured

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// Cost is what the budget counts.
type Cost string

// Costs.
const (
	CostFlops  Cost = "flops"  // of the forward pass
	CostParams Cost = "params" // as published
)

// Controller is how the price of a component follows the budget.
type Controller string

// Controllers.
const (
	// ControllerRef tracks a reference that goes from the seed's sparsity to
	// the budget's, by the expected cost, every few steps.
	ControllerRef Controller = "ref"
	// ControllerPaper is the published rule: once a query, by the cost of
	// the sampled network. It oscillates (README).
	ControllerPaper Controller = "paper"
)

// Draws says what a query compares probabilities with.
type Draws string

// Draws.
const (
	DrawsFresh Draws = "fresh" // new uniform numbers at every query, as published
	DrawsKept  Draws = "kept"  // one number a component for the whole run
)

// Attach says what the outgoing weights of a new unit are.
type Attach string

// Kinds of attachment.
const (
	AttachZero   Attach = "zero"   // what the network computes does not change
	AttachRandom Attach = "random" // drawn like all others
)

// Config says how a network is restructured. Defaults fills it; all fields
// count. Shares of the run are counted from Start on.
type Config struct {
	// Budget is the cost of the finished network as a share of that of the
	// full one: 1-u. Default 0.25.
	Budget float64 `json:"budget"`
	// Cost is flops or params. Default flops.
	Cost Cost `json:"cost"`
	// Seed is the number of units that every Dim begins with; 0 begins with
	// all, so that the network is only pruned. Default 1.
	Seed int `json:"seed"`
	// Start is the epoch of the first query. Until then the network trains
	// as it is. Default 0.
	Start float64 `json:"start"`
	// Period is the time between queries, in epochs. Default 1.
	Period float64 `json:"period"`

	// Controller is ref or paper. Default ref.
	Controller Controller `json:"controller"`
	// Gain is κ, or the published λ_base. Default 0.5.
	Gain float64 `json:"gain"`
	// Every is the number of steps between changes of the price under ref.
	// Default 20.
	Every int `json:"every"`
	// Ramp is the share of the run in which the reference reaches the
	// budget. Default 0.5.
	Ramp float64 `json:"ramp"`
	// Harden is the share of the run from which on all temperatures rise to
	// Temperature, Final the one at which the structure is decided; what is
	// left trains the finished structure. Defaults 0.75 and 0.9.
	Harden float64 `json:"harden"`
	Final  float64 `json:"final"`

	// On and Off are where the mask variables of the seed and of all other
	// components start. Defaults 1 and -3.
	On  float64 `json:"on"`
	Off float64 `json:"off"`
	// Temperature is what β reaches from 1. Default 100.
	Temperature float64 `json:"temperature"`
	// Global raises all temperatures at every query, not only those of
	// components that were sampled. Default false.
	Global bool `json:"global"`
	// Draws is fresh or kept. Default fresh.
	Draws Draws `json:"draws"`

	// Rate, Momentum and Decay are those of the mask variables' own SGD.
	// Defaults 0.1, 0.9 and 1e-6.
	Rate     float64 `json:"rate"`
	Momentum float64 `json:"momentum"`
	Decay    float64 `json:"decay"`

	// Attach is zero or random. Default zero.
	Attach Attach `json:"attach"`
	// Tile rounds widths up to multiples of it once the reference has
	// reached the budget, and those of the finished network. Default 1.
	Tile int `json:"tile"`
	// Blocks lets residual blocks be switched off as a whole. Default true.
	Blocks bool `json:"blocks"`
	// Streams lets residual streams shrink too. Default false.
	Streams bool `json:"streams"`
	// Dims names the Dims that are restructured, Skip those that are not; *
	// stands for any part. Without Dims they are all but residual streams
	// and embeddings.
	Dims []string `json:"dims,omitempty"`
	Skip []string `json:"skip,omitempty"`
}

// Defaults are the settings of the specification.
func Defaults() Config {
	return Config{Budget: 0.25, Cost: CostFlops, Seed: 1, Period: 1, Controller: ControllerRef, Gain: 0.5, Every: 20,
		Ramp: 0.5, Harden: 0.75, Final: 0.9, On: 1, Off: -3, Temperature: 100, Draws: DrawsFresh,
		Rate: 0.1, Momentum: 0.9, Decay: 1e-6, Attach: AttachZero, Tile: 1, Blocks: true}
}

// Validate lists everything that is wrong.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("structured: "+format, args...))
		}
	}
	within := func(name string, v, lo, hi float64) {
		check(v >= lo && v <= hi, "%s %v: want %v to %v", name, v, lo, hi) // NaN fails too
	}
	within("budget", c.Budget, 1e-4, 1)
	check(slices.Contains([]Cost{CostFlops, CostParams}, c.Cost), "cost %q: want flops or params", c.Cost)
	within("seed", float64(c.Seed), 0, 1<<20)
	within("start", c.Start, 0, 1e6)
	within("period", c.Period, 1e-6, 1e6)
	check(slices.Contains([]Controller{ControllerRef, ControllerPaper}, c.Controller), "controller %q: want ref or paper", c.Controller)
	within("gain", c.Gain, 0, 1e3)
	within("every", float64(c.Every), 1, 1e9)
	within("ramp", c.Ramp, 0, 1)
	within("harden", c.Harden, 0, 1)
	within("final", c.Final, 0, 1)
	check(c.Harden <= c.Final, "harden %v: want at most final, which is %v", c.Harden, c.Final)
	within("on", c.On, -10, 10)
	within("off", c.Off, -10, 10)
	check(c.Off <= c.On, "off %v: want at most on, which is %v", c.Off, c.On)
	within("temperature", c.Temperature, 1, 1e6)
	check(slices.Contains([]Draws{DrawsFresh, DrawsKept}, c.Draws), "draws %q: want fresh or kept", c.Draws)
	within("rate", c.Rate, 0, 1e3)
	within("momentum", c.Momentum, 0, 0.9999)
	within("decay", c.Decay, 0, 1)
	check(slices.Contains([]Attach{AttachZero, AttachRandom}, c.Attach), "attach %q: want zero or random", c.Attach)
	within("tile", float64(c.Tile), 1, 256)
	for _, p := range slices.Concat(c.Dims, c.Skip) {
		_, err := path.Match(p, "")
		check(err == nil, "dims %q: %v", p, err)
	}
	return errors.Join(all...)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
