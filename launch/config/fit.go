package config

import (
	"fmt"
	"math"
	"time"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Fit makes the trainer's configuration of a job on an opened data set, for a
// number of workers. What is of the machine is left to the caller: Device,
// Comm, Dir, Report, Log, Threads. An *Error says which keys do not fit the
// data.
func (r *Resolved) Fit(set *data.Dataset, nproc int) (trainer.Config, error) {
	j := &r.Job
	c := trainer.Config{Name: j.Name, Variant: r.Variant(), Job: j.Hash(nproc), Seed: j.Seed,
		Shards: j.LogicalShards(nproc), Clip: j.Train.Clip, Optim: j.optim(), Schedule: j.schedule(),
		LogEvery: uint64(j.Log.Every), EvalRows: j.Eval.Rows, KeepCheckpoints: j.Checkpoint.Keep,
		MemoryEvery: time.Duration(j.Checkpoint.Memory * float64(time.Second))}
	if err := r.suits(set); err != nil {
		return c, err
	}
	var err error
	if c.Train, err = set.Training(j.options(set)); err != nil {
		return c, r.fail(err, "data.augment", "data.context", "data.name")
	}
	window := j.options(set)
	window.Augment = data.Augment{}
	if c.Test, err = set.Evaluation(window); err != nil {
		return c, r.fail(err, "data.context", "data.name")
	}
	c.Model = j.spec(c.Train.Row())
	if err := r.plan(&c); err != nil {
		return c, err
	}
	c.EvalEvery, c.SaveEvery = r.every(j.Eval.Every, &c), r.every(j.Checkpoint.Every, &c)
	return c, nil
}

// fail is a single complaint at the first of the keys that was given.
func (r *Resolved) fail(err error, keys ...string) error {
	return &Error{[]Complaint{r.complaint(err.Error(), keys...)}}
}

// suits refuses text for image models and the other way round, and
// augmentation that the images are too small for.
func (r *Resolved) suits(set *data.Dataset) error {
	j := &r.Job
	sequence := models.Spec{Name: j.Model.Name}.Sequence()
	switch {
	case sequence && set.Text == nil:
		return r.fail(fmt.Errorf("%s reads text, %s has images; use a model such as resnet-20, or data such as tiny-shakespeare", j.Model.Name, set.Name), "model.name", "data.name")
	case !sequence && set.Text != nil:
		return r.fail(fmt.Errorf("%s reads images, %s is text; use a model such as transformer, or data such as cifar10", j.Model.Name, set.Name), "model.name", "data.name")
	case set.Images != nil:
		a := j.Data.Augment
		if err := (data.Augment{Pad: a.Pad, Flip: a.Flip, Cutout: a.Cutout}).Validate(set.Images.Train.H, set.Images.Train.W); err != nil {
			return r.fail(err, "data.augment.pad", "data.augment.cutout")
		}
	}
	return nil
}

// options are those of the training split.
func (j *Job) options(set *data.Dataset) data.Options {
	if set.Text != nil {
		return data.Options{Seed: j.Seed, Window: j.Data.Context}
	}
	a := j.Data.Augment
	return data.Options{Seed: j.Seed, Augment: data.Augment{Pad: a.Pad, Flip: a.Flip, Cutout: a.Cutout}}
}

// spec is the model for rows of the data.
func (j *Job) spec(row data.Row) models.Spec {
	m := &j.Model
	s := models.Spec{Name: m.Name, Base: m.Base, Layers: m.Layers, Dim: m.Dim, Heads: m.Heads, Inner: m.Inner,
		Hidden: m.Hidden, Norm: m.Norm, Dropout: float32(m.Dropout), Smooth: float32(m.LabelSmoothing)}
	if m.Stem != "auto" {
		s.Stem = models.Stem(m.Stem)
	}
	if row.Tokens {
		s.Vocab, s.Context = row.Classes, row.Shape[0]
		return s
	}
	s.Height, s.Width, s.Channels, s.Classes = row.Shape[0], row.Shape[1], row.Shape[2], row.Classes
	return s
}

func (j *Job) optim() optim.Config {
	o := &j.Optim
	return optim.Config{Kind: optim.Kind(o.Name), LR: o.LR, WeightDecay: o.WeightDecay, SpareNorms: o.SpareNorms,
		Momentum: o.Momentum, Dampening: o.Dampening, Nesterov: o.Nesterov, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps,
		Mode: optim.Mode(o.Mode), FinalLR: o.FinalLR, Gamma: o.Gamma, AMS: o.AMS}
}

func (j *Job) schedule() optim.Schedule {
	s := &j.Schedule
	return optim.Schedule{Decay: optim.Decay(s.Decay), Warmup: s.Warmup, Floor: s.Floor, Milestones: s.Milestones, Gamma: s.Gamma}
}

// every turns epochs into steps of the job's batch.
func (r *Resolved) every(epochs float64, c *trainer.Config) uint64 {
	if epochs == 0 {
		return 0
	}
	return uint64(max(1, math.Round(epochs*float64(c.Train.Samples())/float64(r.Job.Train.Batch))))
}

// Workers decides how many worker processes with how many threads each a job
// uses on so many processors, where the job leaves it open.
func (j *Job) Workers(processors int) (nproc, threads int) {
	nproc, threads = int(j.Run.Nproc), int(j.Run.Threads)
	if nproc == 0 {
		nproc = 1
		for 2*nproc <= processors && j.Train.Batch%j.LogicalShards(2*nproc) == 0 && (!j.Train.Strict || 2*nproc <= j.Train.Shards) && 2*nproc <= maxWorkers {
			nproc *= 2
		}
	}
	if threads == 0 {
		threads = max(1, processors/nproc)
	}
	return nproc, threads
}

// maxWorkers is the largest run.nproc.
const maxWorkers = 64

// Variant names what a run makes of the network: "fixed" if nothing.
func (r *Resolved) Variant() string {
	switch {
	case r.Job.Plain():
		return "fixed"
	case r.Job.Grow != nil:
		return "grown"
	case r.Job.Structured != nil:
		return "restructured"
	case r.Job.Joint != nil:
		return "priced"
	case r.Job.Sparsify == nil:
		return "quantized"
	}
	return "thinned"
}
