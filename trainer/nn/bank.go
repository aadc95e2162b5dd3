package nn

import (
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Bank is a set of k templates that layers of one shape mix their weights
// from: layer l uses W_l = Σ_j α_lj T_j, with k coefficients of its own
// (Savarese and Maire, arXiv 1902.09701, equation 1). Templates and
// coefficients are parameters like others; what is summed over ranks are their
// gradients, k·|W| numbers for any number of layers.
type Bank struct {
	templates, rows *graph.Value // [k, |W|], [layers, k]
	param           *graph.Value
	shape           []graph.Axis
	next            int
}

// NewBank declares the k templates "templates" [k, ...spec] and the
// "coefficients" [layers, k] of a group. Coefficients start as an orthogonal
// matrix and never decay.
func NewBank(s Scope, k, layers int, spec graph.ParamSpec) *Bank {
	b := &Bank{shape: spec.Axes}
	spec.Axes = append([]graph.Axis{graph.Fixed(k)}, spec.Axes...)
	spec.In, spec.Out, spec.Stacked = spec.In+1, spec.Out+1, true
	b.param = s.param("templates", spec)
	size := 1
	for _, a := range b.shape {
		size *= a.Size()
	}
	b.templates = b.param.Reshape(graph.Fixed(k), graph.Fixed(size))
	b.rows = s.param("coefficients", graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(layers), graph.Fixed(k)}, In: -1, Out: -1,
		Init: graph.InitOrtho, NoDecay: true, Undecayed: true})
	return b
}

// Weight is the weight of the group's next layer.
func (b *Bank) Weight() *graph.Value {
	if b.next == b.rows.Axes[0].Size() {
		graph.Fail("a bank for %d layers has no weight for another one", b.next)
	}
	row := b.rows.Slice(0, b.next, 1)
	b.next++
	return row.Linear(b.templates, nil).Reshape(b.shape...).From(b.param)
}
