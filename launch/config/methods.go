package config

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/methods/joint"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/share"
	"github.com/espalier-ml/espalier/methods/sparsify"
	"github.com/espalier-ml/espalier/methods/structured"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// plan traces the model once, lays out the run's steps, and attaches the
// methods in the order in which they act: the network grows, then thins, then loses bits.
func (r *Resolved) plan(c *trainer.Config) error {
	full, err := models.Trace(c.Model, graph.Config{}, 1)
	if err != nil {
		return r.fail(err, "model.name", "data.name")
	}
	var grown uint64 // the step from which on the network has its full size
	if r.Job.Grow != nil {
		grown, err = r.growing(c, full)
	} else {
		err = r.fixed(c)
	}
	if err == nil && r.Job.Share != nil {
		err = r.sharing(c, full)
	}
	var shape *structured.Plan
	if err == nil && r.Job.Structured != nil {
		if shape, err = r.structuring(c, full, grown); err == nil {
			grown = shape.Final + 1
		}
	}
	if err == nil && r.Job.Sparsify != nil {
		err = r.thinning(c, full, grown)
	}
	if err == nil && shape != nil { // its masks stand on those of weights
		c.Methods = append(c.Methods, structured.New(shape))
	}
	if err == nil && r.Job.Quantize != nil {
		err = r.quantizing(c, full, grown)
	}
	if err == nil && r.Job.Joint != nil {
		err = r.pricing(c, full, grown)
	}
	return err
}

// fixed lays out a run of one phase at full size.
func (r *Resolved) fixed(c *trainer.Config) error {
	t, samples := &r.Job.Train, c.Train.Samples()
	steps := uint64(t.Epochs*float64(samples)+1e-6) / uint64(t.Batch)
	if steps == 0 {
		return r.fail(fmt.Errorf("%s epochs of %d samples are less than one batch of %d; use more epochs or a smaller batch", number(t.Epochs), samples, t.Batch), "train.epochs", "train.batch")
	}
	c.Timeline, c.Stages = []trainer.Phase{{Steps: steps, Batch: t.Batch}}, 1
	return nil
}

// growing lays out a run of stages and returns the first step of the last.
func (r *Resolved) growing(c *trainer.Config, full *graph.Graph) (uint64, error) {
	t := &r.Job.Train
	if len(full.Dims()) == 0 {
		return 0, r.fail(fmt.Errorf("%s has no widths that could grow; remove the grow section", r.Job.Model.Name), "grow", "model.name")
	}
	p, err := grow.NewPlan(r.Job.growConfig(), full.Dims(), c.Train.Samples(), t.Epochs, t.Batch, c.Shards)
	if err != nil {
		return 0, r.fail(trimmed(err, "grow: "), "grow.epochs0", "grow.epochs", "grow.keep", "grow.stages", "train.epochs", "train.batch")
	}
	c.Sizes, c.Timeline, c.Stages = p.Initial(), p.Timeline(), len(p.Stages)
	c.Methods = append(c.Methods, grow.New(p))
	return p.Stages[len(p.Stages)-1].First, nil
}

// growConfig is the method's configuration; the job must have a grow section.
func (j *Job) growConfig() grow.Config {
	g := j.Grow
	c := grow.Config{Stages: g.Stages, Start: g.Start, Growth: g.Growth, Keep: g.Keep,
		Epochs0: g.Epochs0, EpochGrowth: g.EpochGrowth, BatchGrowth: g.BatchGrowth,
		VT: grow.VT(g.VT), RampSteps: g.RampSteps, Init: grow.Init(g.Init), Noise: g.Noise,
		LRA: grow.LRA(g.LRA), OutRef: g.OutRef, Rewarm: g.Rewarm, RewarmSteps: g.RewarmSteps}
	// An empty list means that it is not used.
	if len(g.Multipliers) > 0 {
		c.Multipliers = g.Multipliers
	}
	if len(g.Epochs) > 0 {
		c.Epochs = g.Epochs
	}
	if len(g.Batches) > 0 {
		c.Batches = g.Batches
	}
	return c
}

// sharing attaches the push towards recurrence.
func (r *Resolved) sharing(c *trainer.Config, full *graph.Graph) error {
	if len(share.Coefficients(full)) == 0 {
		return r.fail(fmt.Errorf("%s has no bank of templates; use a model such as swrn-28-10-2, or remove the share section", r.Job.Model.Name), "share", "model.name")
	}
	m, err := share.New(r.Job.Share.Recurrence)
	if err != nil {
		return r.fail(trimmed(err, "share: "), "share.recurrence")
	}
	c.Methods = append(c.Methods, m)
	return nil
}

// structuring lays the search for the structure over the run. It begins with a
// seed, or when the network has its full size.
func (r *Resolved) structuring(c *trainer.Config, full *graph.Graph, grown uint64) (*structured.Plan, error) {
	s := r.Job.structuredConfig()
	switch {
	case r.Job.Grow != nil && s.Seed > 0:
		return nil, r.fail(fmt.Errorf("growing and a seed of %d both say what the network begins with; use seed: 0, or remove the grow section", s.Seed), "structured.seed", "structured", "grow")
	case len(share.Coefficients(full)) > 0:
		return nil, r.fail(fmt.Errorf("the layers of %s share templates, so that none may have a width of its own; use a model without, such as resnet-20, or remove the structured section", r.Job.Model.Name), "structured", "model.name")
	}
	p, err := structured.NewPlan(s, c.Model, c.Timeline, c.Train.Samples())
	if err != nil {
		return nil, r.fail(trimmed(err, "structured: "), "structured.period", "structured.budget", "structured.start", "structured.seed", "structured.dims", "structured.streams", "structured", "train.epochs")
	}
	if p.First < grown {
		return nil, r.fail(fmt.Errorf("the search begins at step %d, the network grows until step %d; begin later, or let growth end earlier", p.First, grown), "structured.start", "structured", "grow.epochs")
	}
	if s.Seed > 0 {
		c.Sizes = p.Initial()
	}
	return p, nil
}

// structuredConfig is the method's configuration; the job must have a
// structured section.
func (j *Job) structuredConfig() structured.Config {
	s := j.Structured
	return structured.Config{Budget: s.Budget, Cost: structured.Cost(s.Cost), Seed: s.Seed, Start: s.Start, Period: s.Period,
		Controller: structured.Controller(s.Controller), Gain: s.Gain, Every: s.Every, Ramp: s.Ramp, Harden: s.Harden, Final: s.Final,
		On: s.On, Off: s.Off, Temperature: s.Temperature, Global: s.Global, Draws: structured.Draws(s.Draws),
		Rate: s.Rate, Momentum: s.Momentum, Decay: s.Decay, Attach: structured.Attach(s.Attach), Tile: s.Tile,
		Blocks: s.Blocks, Streams: s.Streams, Dims: s.Dims, Skip: s.Skip}
}

// shaping says what the network does until its shape is final.
func (r *Resolved) shaping() string {
	if r.Job.Structured != nil {
		return "is restructured"
	}
	return "grows"
}

// thinning lays rounds of sparsification over the run. They begin when the
// network has its full size.
func (r *Resolved) thinning(c *trainer.Config, full *graph.Graph, grown uint64) error {
	s := r.Job.sparsifyConfig()
	p, err := sparsify.NewPlan(s, c.Timeline, c.Train.Samples())
	if err != nil {
		return r.fail(trimmed(err, "sparsify: "), "sparsify.epochs", "sparsify.rounds", "sparsify.start", "sparsify.rewind", "sparsify.rise", "train.epochs")
	}
	if first := p.Rounds[0].First; first < grown {
		return r.fail(fmt.Errorf("the first round begins at step %d, the network %s until step %d; begin later, or let that end earlier", first, r.shaping(), grown), "sparsify.start", "sparsify", "grow.epochs")
	}
	none := true
	for _, q := range full.Params() {
		none = none && !s.Gates(q)
	}
	if none {
		return r.fail(fmt.Errorf("no weight of %s gets gates; name some with layers", r.Job.Model.Name), "sparsify.layers", "sparsify.skip", "sparsify")
	}
	c.Restarts = p.Restarts()
	c.Methods = append(c.Methods, sparsify.New(p))
	return nil
}

// sparsifyConfig is the method's configuration; the job must have a sparsify
// section.
func (j *Job) sparsifyConfig() sparsify.Config {
	s := j.Sparsify
	return sparsify.Config{Goal: sparsify.Goal(s.Goal), S0: s.S0, Temperature: s.Temperature, Rise: sparsify.Rise(s.Rise),
		Penalty: s.Penalty, Scale: sparsify.Scale(s.Scale), Rate: s.Rate, Rounds: s.Rounds, Epochs: s.Epochs, Start: s.Start,
		Rewind: s.Rewind, HardEval: s.HardEval, Layers: s.Layers, Skip: s.Skip}
}

// quantizing lays the phases of quantization over the run. The noise begins
// when masks are hard; the network may grow while there is noise, new channels
// with the precision that all began with.
func (r *Resolved) quantizing(c *trainer.Config, full *graph.Graph, grown uint64) error {
	q := r.Job.quantizeConfig()
	p, err := quantize.NewPlan(q, c.Timeline, c.Train.Samples())
	if err != nil {
		return r.fail(trimmed(err, "quantize: "), "quantize.start", "quantize.epochs", "train.epochs")
	}
	if r.Job.Grow != nil && p.Switch <= grown {
		return r.fail(fmt.Errorf("channels get their bits at step %d, the network grows until step %d; make the noise phase longer, begin it later, or let growth end earlier", p.Switch, grown), "quantize.epochs", "quantize.start", "quantize", "grow.epochs")
	}
	if r.Job.Structured != nil && p.First < grown {
		return r.fail(fmt.Errorf("the noise begins at step %d, the network is restructured until step %d; begin later, or let that end earlier", p.First, grown), "quantize.start", "quantize", "structured.final")
	}
	if last := lastRestart(c); p.First < last {
		return r.fail(fmt.Errorf("the noise begins at step %d, the network is thinned until step %d; begin later, or thin in fewer epochs", p.First, last), "quantize.start", "quantize", "sparsify.epochs", "sparsify.rounds")
	}
	none := true
	for _, w := range full.Params() {
		none = none && !q.Quantizes(w)
	}
	if none {
		return r.fail(fmt.Errorf("no weight of %s is quantized; name some with layers", r.Job.Model.Name), "quantize.layers", "quantize.skip", "quantize")
	}
	c.Methods = append(c.Methods, quantize.New(p))
	return nil
}

// lastRestart is the step at which the schedule begins anew for the last time:
// behind the last round of sparsification. 0 without.
func lastRestart(c *trainer.Config) uint64 {
	if n := len(c.Restarts); n > 0 {
		return c.Restarts[n-1]
	}
	return 0
}

// quantizeConfig is the method's configuration; the job must have a quantize
// section.
func (j *Job) quantizeConfig() quantize.Config {
	q := j.Quantize
	return quantize.Config{Start: q.Start, Epochs: q.Epochs, Price: q.Price, Bits0: q.Bits0, Rate: q.Rate,
		Noise: quantize.Noise(q.Noise), Scale: quantize.Scale(q.Scale), Rule: quantize.Rule(q.Rule), Bits: q.Bits,
		Group: q.Group, Activations: quantize.Activations(q.Activations), Layers: q.Layers, Skip: q.Skip}
}

// pricing lays the phases of the joint price over the run. They begin when the
// network has its full size.
func (r *Resolved) pricing(c *trainer.Config, full *graph.Graph, grown uint64) error {
	j := r.Job.jointConfig()
	p, err := joint.NewPlan(j, c.Model, c.Timeline, c.Train.Samples())
	if err != nil {
		return r.fail(trimmed(err, "joint: "), "joint.start", "joint.epochs", "train.epochs")
	}
	if p.First < grown {
		return r.fail(fmt.Errorf("channels get a price at step %d, the network grows until step %d; begin later, or let growth end earlier", p.First, grown), "joint.start", "joint", "grow.epochs")
	}
	if len(p.Uses) == 0 {
		return r.fail(fmt.Errorf("no weight of %s is priced; name some with layers", r.Job.Model.Name), "joint.layers", "joint.skip", "joint")
	}
	c.Methods = append(c.Methods, joint.New(p))
	return nil
}

// jointConfig is the method's configuration; the job must have a joint section.
func (j *Job) jointConfig() joint.Config {
	q := j.Joint
	return joint.Config{Start: q.Start, Epochs: q.Epochs, Price: q.Price, Cost: joint.Cost(q.Cost), Gate: q.Gate, Temperature: q.Temperature,
		Bits0: q.Bits0, Rate: q.Rate, GateRate: q.GateRate, Group: q.Group, Activations: quantize.Activations(q.Activations), Layers: q.Layers, Skip: q.Skip}
}

// trimmed is an error without the name of the method that reports it.
func trimmed(err error, prefix string) error {
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), prefix))
}
