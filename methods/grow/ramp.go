package grow

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// ramp brings the weights that recent events left alone one step nearer to
// their values under VTPaper: entries older than the event by r^(1/S), their
// biases by ρ^(1/S), in each of the S steps after it. It follows from step
// and shape alone, so there is nothing to save.
func (m *Method) ramp(r *trainer.Run) error {
	length := uint64(m.plan.Config.RampSteps)
	var reset map[string]bool
	for stage := 1; stage <= m.stage && stage < len(r.Births); stage++ {
		if age := r.Step - r.Births[stage]; age < 1 || age > length {
			continue
		}
		if reset == nil {
			reset = resets(r.Graph())
		}
		for _, e := range r.Optim().Entries {
			rho := rampFactor(e.Param, stage, reset)
			if rho == 1 {
				continue
			}
			if err := m.scaleOld(r.Device(), e.Param, e.Blocks, stage, math.Pow(rho, 1/float64(length))); err != nil {
				return err
			}
		}
	}
	return nil
}

// rampFactor is what a parameter's old entries are multiplied by over the
// whole ramp of an event.
func rampFactor(p *graph.Param, stage int, reset map[string]bool) float64 {
	one := func(w *graph.Param) float64 {
		if reset[w.Name] {
			return 1 // had its factor at the event
		}
		return tableFactor(w, stage)
	}
	if p.In >= 0 {
		return one(p)
	}
	rho := 1.0
	for _, w := range p.Scaled {
		rho *= one(w)
	}
	return rho
}

// scaleOld multiplies all entries of blocks before stage.
func (m *Method) scaleOld(dev kernels.Device, p *graph.Param, b kernels.Blocks, stage int, by float64) error {
	if n := p.W.Len(); cap(m.host) < n {
		m.host = make([]float32, n)
	}
	w := m.host[:p.W.Len()]
	if err := dev.ReadF32(p.W, w); err != nil {
		return err
	}
	for i := range w {
		if block(b, i) < int32(stage) {
			w[i] = float32(float64(w[i]) * by)
		}
	}
	return dev.WriteF32(p.W, w)
}

// block is the stage in which entry i of a parameter was added.
func block(b kernels.Blocks, i int) (k int32) {
	if b.RowBlock != nil {
		k = b.RowBlock[i/b.Cols]
	}
	if b.ColBlock != nil {
		k = max(k, b.ColBlock[i%b.Cols])
	}
	return k
}
