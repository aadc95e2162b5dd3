package quantize

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/espalier-ml/espalier/trainer/graph"
)

// Scale says what weights share a scale M, their largest magnitude.
type Scale string

// Kinds of scales.
const (
	ScaleRow    Scale = "row"    // those of one output; free at run time
	ScaleTensor Scale = "tensor" // all of a layer, as published
)

// Rule says how relaxed precisions become whole ones at the switch.
type Rule string

// Rules.
const (
	RuleTwo     Rule = "two"     // one or two levels a layer: TwoLevels
	RuleSySMOL  Rule = "sysmol"  // 1, 2 or 4 bits a channel: Published421
	RuleUniform Rule = "uniform" // Config.Bits for all: what the others are compared with
)

// Activations says how the inputs of quantized layers are rounded.
type Activations string

// Kinds of activations.
const (
	ActNone Activations = "none"
	Act8    Activations = "a8"
	Act4    Activations = "a4"
)

// Bits is the width of an activation, 0 where it is not rounded.
func (a Activations) Bits() int { return map[Activations]int{Act8: 8, Act4: 4}[a] }

// Config says how a network is quantized. Defaults fills it; all fields count.
type Config struct {
	// Start is the epoch at which the noise begins; until then the network
	// trains as it is, grows or thins. Default 0.
	Start float64 `json:"start"`
	// Epochs is the length of the noise phase; the rest of the run is
	// quantized. 0 is half of what Start leaves. Default 0.
	Epochs float64 `json:"epochs"`
	// Price is the loss of a mean bit a weight, in nats: λ times the number
	// of weights. The published ones are 0.03 to 0.25. Default 0.1.
	Price float64 `json:"price"`
	// Bits0 is the relaxed precision at which channels start. Default 8.
	Bits0 float64 `json:"bits0"`
	// Rate is Adam's rate for the precision variables; 0 is 10 over the steps
	// of the noise phase, enough to cross the range. Default 0.
	Rate float64 `json:"rate"`
	// Noise is calibrated or smol. Default calibrated.
	Noise Noise `json:"noise"`
	// Scale is row or tensor. Default row.
	Scale Scale `json:"scale"`
	// Rule is two, sysmol or uniform. Default two.
	Rule Rule `json:"rule"`
	// Bits is the precision of rule uniform: 1, 2, 4 or 8. Default 4.
	Bits int `json:"bits"`
	// Group is the number of channels of which the higher level has a
	// multiple; 32 fills the vectors of kernels. Default 32.
	Group int `json:"group"`
	// Activations is a8, a4 or none. Default a8.
	Activations Activations `json:"activations"`

	// Layers names the weights that are quantized, Skip those that are not; *
	// stands for any part of a name: "layer*.conv?.weight". Without Layers
	// they are all linear maps and convolutions but embeddings, depthwise
	// kernels, recurrent weights, banks of templates, and convolutions of up
	// to 4 image channels.
	Layers []string `json:"layers,omitempty"`
	Skip   []string `json:"skip,omitempty"`
}

// Defaults are the settings that we train with; NoiseSMOL, ScaleTensor and
// RuleSySMOL are closest to the published code.
func Defaults() Config {
	return Config{Price: 0.1, Bits0: 8, Noise: NoiseCalibrated, Scale: ScaleRow, Rule: RuleTwo, Bits: 4, Group: 32, Activations: Act8}
}

// Validate lists everything that is wrong.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("quantize: "+format, args...))
		}
	}
	within := func(name string, v, lo, hi float64) {
		check(v >= lo && v <= hi, "%s %v: want %v to %v", name, v, lo, hi) // NaN fails too
	}
	check(slices.Contains([]Noise{NoiseCalibrated, NoiseSMOL}, c.Noise), "noise %q: want calibrated or smol", c.Noise)
	check(slices.Contains([]Scale{ScaleRow, ScaleTensor}, c.Scale), "scale %q: want row or tensor", c.Scale)
	check(slices.Contains([]Rule{RuleTwo, RuleSySMOL, RuleUniform}, c.Rule), "rule %q: want two, sysmol or uniform", c.Rule)
	check(slices.Contains([]Activations{Act8, Act4, ActNone}, c.Activations), "activations %q: want a8, a4 or none", c.Activations)
	check(slices.Contains([]int{1, 2, 4, 8}, c.Bits), "bits %d: want 1, 2, 4 or 8", c.Bits)
	within("start", c.Start, 0, 1e6)
	within("epochs", c.Epochs, 0, 1e6)
	within("price", c.Price, 0, 1e3)
	within("bits0", c.Bits0, 1.001, 16)
	within("rate", c.Rate, 0, 10)
	within("group", float64(c.Group), 1, 1<<20)
	for _, p := range slices.Concat(c.Layers, c.Skip) {
		_, err := path.Match(p, "")
		check(err == nil, "layers %q: %v", p, err)
	}
	return errors.Join(all...)
}

// Quantizes reports whether a parameter is quantized.
func (c *Config) Quantizes(p *graph.Param) bool {
	n := len(p.Axes)
	if p.State || p.Local || n < 2 || matches(c.Skip, p.Name) {
		return false
	}
	if len(c.Layers) > 0 {
		return matches(c.Layers, p.Name)
	}
	if p.In != n-2 || p.Out != n-1 || p.NoDecay || p.Init == graph.InitStd || strings.HasSuffix(p.Name, "hh.weight") || strings.HasSuffix(p.Name, ".templates") {
		return false
	}
	in := p.Axes[p.In]
	return n == 2 || in.Dim != nil || in.Size() > 4
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
