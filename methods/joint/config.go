package joint

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/sparsify"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Cost says what the price is on.
type Cost string

// Kinds of costs.
const (
	CostBytes Cost = "bytes" // bits of a weight
	CostFlops Cost = "flops" // those bits times the multiply-adds that use the weight
)

// Config says how channels are priced. Defaults fills it; all fields count.
type Config struct {
	// Start is the epoch at which gates and noise begin; until then the
	// network trains as it is, or grows. Default 0.
	Start float64 `json:"start"`
	// Epochs is the length of the search; the rest of the run trains the
	// channels that are left, rounded. 0 is half of what Start leaves.
	// Default 0.
	Epochs float64 `json:"epochs"`
	// Price is the loss of a mean bit a weight, in nats: λ times the number of
	// weights. With CostFlops weights count by their multiply-adds. Default 0.03.
	Price float64 `json:"price"`
	// Cost is bytes or flops. Default bytes.
	Cost Cost `json:"cost"`
	// Gate is s₀ at the start, above 0. Default 0.2.
	Gate float64 `json:"gate"`
	// Temperature is what β reaches from 1 over the search. Default 200.
	Temperature float64 `json:"temperature"`
	// Bits0 is the relaxed precision at which channels start. Default 8.
	Bits0 float64 `json:"bits0"`
	// Rate is Adam's rate for precisions; 0 is 10 over the steps of the
	// search. Default 0.
	Rate float64 `json:"rate"`
	// GateRate is Adam's rate for gates; 0 is 1 over the steps of the search.
	// Default 0.
	GateRate float64 `json:"gate_rate"`
	// Group is the number of channels of which the higher level has a
	// multiple. Default 32.
	Group int `json:"group"`
	// Activations is a8, a4 or none. Default a8.
	Activations quantize.Activations `json:"activations"`

	// Layers names the weights that are priced, Skip those that are not; *
	// stands for any part of a name. Without Layers they are those that
	// methods/quantize takes, and the templates of banks.
	Layers []string `json:"layers,omitempty"`
	Skip   []string `json:"skip,omitempty"`
}

// Defaults are the settings that we train with.
func Defaults() Config {
	return Config{Price: 0.03, Cost: CostBytes, Gate: 0.2, Temperature: 200, Bits0: 8, Group: 32, Activations: quantize.Act8}
}

// Validate lists everything that is wrong.
func (c *Config) Validate() error {
	var all []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Errorf("joint: "+format, args...))
		}
	}
	within := func(name string, v, lo, hi float64) {
		check(v >= lo && v <= hi, "%s %v: want %v to %v", name, v, lo, hi) // NaN fails too
	}
	check(slices.Contains([]Cost{CostBytes, CostFlops}, c.Cost), "cost %q: want bytes or flops", c.Cost)
	check(slices.Contains([]quantize.Activations{quantize.Act8, quantize.Act4, quantize.ActNone}, c.Activations), "activations %q: want a8, a4 or none", c.Activations)
	within("start", c.Start, 0, 1e6)
	within("epochs", c.Epochs, 0, 1e6)
	within("price", c.Price, 0, 1e3)
	within("gate", c.Gate, 1e-3, 10)
	within("temperature", c.Temperature, 1, 1e6)
	within("bits0", c.Bits0, 1.001, 16)
	within("rate", c.Rate, 0, 10)
	within("gate_rate", c.GateRate, 0, 10)
	within("group", float64(c.Group), 1, 1<<20)
	for _, p := range slices.Concat(c.Layers, c.Skip) {
		_, err := path.Match(p, "")
		check(err == nil, "layers %q: %v", p, err)
	}
	return errors.Join(all...)
}

// templates is what the names of banks end with.
const templates = ".templates"

// Prices reports whether the channels of a parameter are priced.
func (c *Config) Prices(p *graph.Param) bool {
	q := c.precision()
	if len(q.Layers) == 0 && strings.HasSuffix(p.Name, templates) {
		q.Layers = []string{p.Name}
	}
	return q.Quantizes(p)
}

// precision is the part of the configuration that methods/quantize has too.
func (c *Config) precision() quantize.Config {
	q := quantize.Defaults()
	q.Start, q.Epochs, q.Bits0, q.Group, q.Activations, q.Layers, q.Skip = c.Start, c.Epochs, c.Bits0, c.Group, c.Activations, c.Layers, c.Skip
	return q
}

// factor is c, the value of an open gate, such that the search begins with
// gates of 1: 1/σ(s₀). The finished weights hold it.
func (c *Config) factor() float64 { return 1 / sparsify.Sigmoid(c.Gate) }
