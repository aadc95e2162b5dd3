package grow

import (
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Flops is the work of training a model with one sample, forward and
// backward, as a function of its shape: what Plan.Cost wants. It equals what
// the trainer counts.
func Flops(m models.Spec) func(graph.Sizes) (float64, error) {
	return func(s graph.Sizes) (float64, error) {
		g, err := models.Trace(m, graph.Config{Train: true, Sizes: s}, 1)
		if err != nil {
			return 0, err
		}
		return float64(g.Flops()), nil
	}
}
