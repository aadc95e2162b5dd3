package config

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// check finds combinations that cannot work. Complaints stand at the first of
// the keys named that was given.
func (r *Resolved) check(broken map[string]bool) (bad []Complaint) {
	complain := func(what string, keys ...string) {
		if slices.ContainsFunc(keys, func(k string) bool { return broken[k] }) {
			return
		}
		bad = append(bad, r.complaint(what, keys...))
	}
	r.checkData(complain)
	r.checkModel(complain)
	r.checkShards(complain)
	r.checkOptim(complain)
	r.checkGrow(complain)
	r.checkSparsify(complain)
	r.checkStructured(complain)
	r.checkQuantize(complain)
	r.checkJoint(complain)
	return bad
}

// complainer takes what is wrong and the keys that are involved, the most
// likely culprit first.
type complainer func(what string, keys ...string)

// complaint is a complaint at the first of the keys that was given.
func (r *Resolved) complaint(what string, keys ...string) Complaint {
	for _, k := range keys {
		if o, ok := r.Origins[k]; ok && o.Kind != Default {
			return Complaint{o, k, what}
		}
	}
	return Complaint{Origin{Name: r.From.Name}, keys[0], what}
}

func (r *Resolved) checkData(complain complainer) {
	name := r.Job.Data.Name
	if names := data.Names(); !slices.Contains(names, name) {
		complain(fmt.Sprintf("no such data set: %q; %sthere are %s", name, maybe(Nearest(name, names)), strings.Join(names, ", ")), "data.name")
	}
	if n := r.Job.Name; strings.ContainsAny(n, "/\\") || n == "." || n == ".." {
		complain(fmt.Sprintf("%q is no name for a run; want one without slashes", n), "name")
	}
}

func maybe(word string) string {
	if word == "" {
		return ""
	}
	return "did you mean " + word + "? "
}

func (r *Resolved) checkModel(complain complainer) {
	m := &r.Job.Model
	any := models.Spec{Name: m.Name, Height: 32, Width: 32, Channels: 3, Classes: 10, Vocab: 64, Context: 8}
	if err := any.Check(); err != nil {
		complain(err.Error(), "model.name")
		return
	}
	if m.Name == "transformer" && m.Dim%m.Heads != 0 {
		complain(fmt.Sprintf("%d heads do not divide dim %d; want a divisor such as %d", m.Heads, m.Dim, divisorNear(m.Dim, m.Heads)), "model.heads", "model.dim")
	}
}

// divisorNear is the divisor of n nearest to x.
func divisorNear(n, x int) int {
	for d := 0; ; d++ {
		if x-d >= 1 && n%(x-d) == 0 {
			return x - d
		}
		if x+d <= n && n%(x+d) == 0 {
			return x + d
		}
	}
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

func (r *Resolved) checkShards(complain complainer) {
	t, nproc := &r.Job.Train, int(r.Job.Run.Nproc)
	for key, n := range map[string]int{"train.shards": t.Shards, "train.accumulate": t.Accumulate, "run.nproc": max(nproc, 1)} {
		if n > 0 && !powerOfTwo(n) {
			lower := 1 << (bits.Len(uint(n)) - 1)
			complain(fmt.Sprintf("%d is no power of two; use %d or %d", n, lower, 2*lower), key)
			return
		}
	}
	if t.Strict && nproc > t.Shards {
		complain(fmt.Sprintf("%d workers cannot share %d shards; use at most %d workers, more shards, or strict: false", nproc, t.Shards, t.Shards), "run.nproc", "train.shards")
		return
	}
	if !t.Strict && nproc == 0 {
		nproc = 1
	}
	v := r.Job.LogicalShards(nproc)
	if v > 1024 {
		complain(fmt.Sprintf("%d shards in all, want at most 1024; use less accumulation", v), "train.accumulate", "train.shards")
		return
	}
	if v > 0 && t.Batch%v != 0 {
		low := t.Batch / v * v
		remedy := fmt.Sprintf("use %d or %d", low, low+v)
		if low == 0 {
			remedy = fmt.Sprintf("use %d", v)
		}
		complain(fmt.Sprintf("a batch of %d cannot be cut into %d equal shards; %s", t.Batch, v, remedy), "train.batch", "train.shards", "train.accumulate")
	}
}

func (r *Resolved) checkOptim(complain complainer) {
	o := &r.Job.Optim
	if o.Nesterov && o.Momentum == 0 {
		complain("nesterov needs momentum; set optim.momentum, to 0.9 for instance", "optim.nesterov", "optim.momentum")
	}
	if o.Nesterov && o.Dampening != 0 {
		complain("nesterov allows no dampening; remove one of the two", "optim.dampening", "optim.nesterov")
	}
	s := &r.Job.Schedule
	if s.Decay == string(optim.Step) {
		if len(s.Milestones) == 0 {
			complain("step decay needs milestones, such as [0.5, 0.75]", "schedule.milestones", "schedule.decay")
		} else if !slices.IsSorted(s.Milestones) || len(slices.Compact(slices.Clone(s.Milestones))) != len(s.Milestones) {
			complain("milestones must rise, such as [0.5, 0.75]", "schedule.milestones")
		}
	}
}

func (r *Resolved) checkGrow(complain complainer) {
	if r.Job.Grow == nil {
		return
	}
	c := r.Job.growConfig()
	err := c.Validate()
	for _, e := range flatten(err) {
		what := strings.TrimPrefix(e.Error(), "grow: ")
		complain(what, r.growKey(what)...)
	}
	if sum := total(c.Epochs); err == nil && c.Epochs != nil && !near(sum, r.Job.Train.Epochs) {
		complain(fmt.Sprintf("the stages have %v epochs in all, train.epochs is %v; make them equal", sum, r.Job.Train.Epochs), "grow.epochs", "train.epochs")
	}
	n := c.Stages
	if c.Multipliers != nil {
		n = len(c.Multipliers)
	}
	if err == nil && c.Epochs == nil && c.Epochs0 > 0 && n > 1 {
		e := grow.StageEpochs(r.Job.Train.Epochs, c.Epochs0, c.EpochGrowth, n)
		if e[n-1] <= 0 {
			complain(fmt.Sprintf("stages from %v epochs on leave nothing of %v epochs for the full-size network; use a smaller epochs0, 0 for the usual shares, or fewer stages", c.Epochs0, r.Job.Train.Epochs),
				"grow.epochs0", "train.epochs", "grow.stages")
		}
	}
}

// growKey finds the keys that a complaint of the method begins with.
func (r *Resolved) growKey(what string) []string {
	for _, f := range Fields() {
		if leaf, ok := strings.CutPrefix(f.Key, "grow."); ok && strings.HasPrefix(what, leaf+" ") {
			return []string{f.Key}
		}
	}
	return []string{"grow.stages", "grow.epochs", "grow.batches", "grow.multipliers"}
}

func (r *Resolved) checkSparsify(complain complainer) {
	if r.Job.Sparsify == nil {
		return
	}
	c := r.Job.sparsifyConfig()
	for _, e := range flatten(c.Validate()) {
		complain(strings.TrimPrefix(e.Error(), "sparsify: "), "sparsify.layers", "sparsify.epochs", "sparsify.rise")
	}
}

func (r *Resolved) checkStructured(complain complainer) {
	if r.Job.Structured == nil {
		return
	}
	c := r.Job.structuredConfig()
	for _, e := range flatten(c.Validate()) {
		complain(strings.TrimPrefix(e.Error(), "structured: "), "structured.harden", "structured.final", "structured.off", "structured.on", "structured.dims")
	}
}

func (r *Resolved) checkQuantize(complain complainer) {
	if r.Job.Quantize == nil {
		return
	}
	c := r.Job.quantizeConfig()
	for _, e := range flatten(c.Validate()) {
		complain(strings.TrimPrefix(e.Error(), "quantize: "), "quantize.bits", "quantize.bits0", "quantize.layers")
	}
}

// checkJoint refuses other methods that decide about the same channels.
func (r *Resolved) checkJoint(complain complainer) {
	if r.Job.Joint == nil {
		return
	}
	for _, other := range []struct {
		there bool
		key   string
	}{{r.Job.Sparsify != nil, "sparsify"}, {r.Job.Structured != nil, "structured"}, {r.Job.Quantize != nil, "quantize"}} {
		if other.there {
			complain(fmt.Sprintf("joint and %s both decide what is left of a weight; remove one of the two sections", other.key), "joint", other.key)
		}
	}
	c := r.Job.jointConfig()
	for _, e := range flatten(c.Validate()) {
		complain(strings.TrimPrefix(e.Error(), "joint: "), "joint.layers", "joint.bits0")
	}
}

// flatten lists joined errors one by one.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

func total(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum
}

func near(a, b float64) bool { return a-b < 1e-6*b && b-a < 1e-6*b }
