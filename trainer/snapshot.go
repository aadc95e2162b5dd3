package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// A checkpoint holds the committed state of a run: parameters and running
// statistics under their own names, optimizer state under
// "optim.<slot>.<parameter>" and "optim.<scalar>", what methods keep (see
// Keeper), and in its metadata the shape, the births of growth stages, the
// state of methods, and what was spent so far.

// plan is the shape part of a checkpoint.
type plan struct {
	Sizes  graph.Sizes `json:"sizes"`
	Births []uint64    `json:"births"`
}

// spent is what earlier attempts of the run have used.
type spent struct {
	Seconds float64       `json:"seconds"`
	Flops   float64       `json:"flops"`
	Eval    *metrics.Eval `json:"eval,omitempty"`
}

// named is a tensor with its name in a checkpoint: on the device, or values
// that a method keeps.
type named struct {
	name   string
	t      *kernels.Tensor
	shape  []int
	values []float32
}

// read returns the values; buf holds those of any parameter.
func (n named) read(dev kernels.Device, buf []float32) ([]float32, error) {
	if n.t == nil {
		return n.values, nil
	}
	buf = buf[:n.t.Len()]
	return buf, dev.ReadF32(n.t, buf)
}

// tensors lists the state of the network in a fixed order.
func (n *network) tensors() []named {
	var out []named
	for _, p := range n.all() {
		out = append(out, named{name: p.Name, t: p.W, shape: p.W.Shape})
	}
	slots := n.cfg.Optim.Slots()
	for _, e := range n.opt.Entries {
		for k, t := range e.Slots {
			out = append(out, named{name: "optim." + slots[k] + "." + e.Param.Name, t: t, shape: t.Shape})
		}
	}
	for _, x := range n.opt.Scalars {
		out = append(out, named{name: "optim." + x.Name, t: x.T, shape: x.T.Shape})
	}
	return out
}

func (r *Run) openSaver() error {
	if r.cfg.Dir == "" || r.cfg.Comm.Info().Rank != 0 {
		return nil
	}
	var err error
	r.saver, err = checkpoint.NewSaver(checkpoint.SaverConfig{Store: checkpoint.Store{Dir: r.cfg.Dir}, Keep: r.cfg.KeepCheckpoints, Log: r.log})
	return err
}

// save hands the state to the background writer; training waits only for a
// copy in memory.
func (r *Run) save() error {
	if r.saver == nil {
		return nil
	}
	began := time.Now()
	st, ts, err := r.state()
	if err != nil {
		return err
	}
	var readErr error
	err = r.saver.BeginFunc(st, func(i int, dst []byte) {
		v, err := ts[i].read(r.cfg.Device, r.net.host)
		readErr = errors.Join(readErr, err)
		checkpoint.PutFloat32s(dst, v)
	})
	if err = errors.Join(err, readErr); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	r.cfg.Report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: metrics.EventCheckpoint,
		Text: "state saved", TookMS: metrics.Number(time.Since(began).Seconds() * 1e3)})
	return nil
}

// state describes the run's state; the tensors' values are read later.
func (r *Run) state() (checkpoint.State, []named, error) {
	ts := append(r.net.tensors(), r.kept()...)
	st := checkpoint.State{Meta: checkpoint.Meta{Step: r.Step, Cursor: r.Samples(), Seed: r.cfg.Seed,
		World: r.cfg.Comm.Info().World, Shards: r.cfg.Shards, Job: r.cfg.Job, Tool: "espalier", Created: time.Now().UTC()}}
	for _, t := range ts {
		st.Tensors = append(st.Tensors, checkpoint.Tensor{Name: t.name, DType: checkpoint.F32, Shape: slices.Clone(t.shape)})
	}
	var err error
	if st.Meta.Plan, err = json.Marshal(plan{r.net.sizes, r.Births}); err != nil {
		return st, nil, err
	}
	if err := st.Meta.SetPart("spent", spent{r.seconds(), r.flops, r.last}); err != nil {
		return st, nil, err
	}
	for _, m := range r.cfg.Methods {
		raw, err := m.Save()
		if err != nil {
			return st, nil, fmt.Errorf("method %s: %w", m.Name(), err)
		}
		if raw != nil {
			if st.Meta.Methods == nil {
				st.Meta.Methods = map[string]json.RawMessage{}
			}
			st.Meta.Methods[m.Name()] = raw
		}
	}
	return st, ts, nil
}

// digest is the digest of parameters, statistics and optimizer state.
func (r *Run) digest() (checkpoint.Sum, error) {
	st, ts, err := r.state()
	if err != nil {
		return checkpoint.Sum{}, err
	}
	for i := range st.Tensors {
		v, err := ts[i].read(r.cfg.Device, r.net.host)
		if err != nil {
			return checkpoint.Sum{}, err
		}
		st.Tensors[i] = checkpoint.Float32s(ts[i].name, ts[i].shape, v)
	}
	return checkpoint.Digest(st.Tensors), nil
}

// newestCheckpoint loads the newest complete checkpoint, if there is one.
func (r *Run) newestCheckpoint() (st checkpoint.State, found bool, err error) {
	if r.cfg.Dir == "" {
		return st, false, nil
	}
	st, path, skipped, err := checkpoint.Store{Dir: r.cfg.Dir}.LoadLatest()
	for _, e := range skipped {
		r.log.Warn("checkpoint passed over", zap.Error(e))
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone) && len(skipped) == 0:
		return st, false, nil
	case err != nil:
		return st, false, fmt.Errorf("resume: %w", errors.Join(append(skipped, err)...))
	case st.Meta.Job != r.cfg.Job:
		return st, false, fmt.Errorf("%s belongs to another job: it was saved with job hash %.12s, this job has %.12s; use another run folder", path, st.Meta.Job, r.cfg.Job)
	}
	r.log.Info("resuming", zap.String("checkpoint", filepath.Base(path)), zap.Uint64("step", st.Meta.Step))
	return st, true, nil
}

// restore builds the network that a checkpoint describes and fills it.
func (r *Run) restore(ctx context.Context, st checkpoint.State) error {
	var p plan
	if err := json.Unmarshal(st.Meta.Plan, &p); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	var s spent
	if err := st.Meta.Part("spent", &s); err != nil {
		return err
	}
	if len(p.Births) == 0 || st.Meta.Step > r.cfg.steps() {
		return fmt.Errorf("plan with %d stages at step %d of %d", len(p.Births), st.Meta.Step, r.cfg.steps())
	}
	r.Step, r.Births, r.flops, r.last = st.Meta.Step, p.Births, s.Flops, s.Eval
	r.before = time.Duration(s.Seconds * float64(time.Second))
	var err error
	if r.net, err = newNetwork(ctx, &r.cfg, p.Sizes, r.cfg.batch(r.Step), r.Births); err != nil {
		return err
	}
	for _, t := range r.net.tensors() {
		if err := load(r.cfg.Device, st, t); err != nil {
			return err
		}
	}
	for _, m := range r.cfg.Methods {
		if err := m.Load(st.Meta.Methods[m.Name()]); err != nil {
			return fmt.Errorf("method %s: %w", m.Name(), err)
		}
		if err := restoreKept(m, st); err != nil {
			return fmt.Errorf("method %s: %w", m.Name(), err)
		}
	}
	return nil
}

// load copies one tensor of a checkpoint into the network.
func load(dev kernels.Device, st checkpoint.State, t named) error {
	c, ok := st.Find(t.name)
	if !ok {
		return fmt.Errorf("no tensor %s", t.name)
	}
	if !slices.Equal(c.Shape, t.t.Shape) {
		return fmt.Errorf("tensor %s has shape %v, the network wants %v", t.name, c.Shape, t.t.Shape)
	}
	buf := make([]float32, t.t.Len())
	if err := c.CopyFloat32s(buf); err != nil {
		return fmt.Errorf("tensor %s: %w", t.name, err)
	}
	return dev.WriteF32(t.t, buf)
}

// announce reports the start of the run, or that it goes on.
func (r *Run) announce(full int, resumed bool) {
	if resumed {
		r.cfg.Report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: metrics.EventResume,
			Text: fmt.Sprintf("resumed at step %d", r.Step), Dims: dims(r.net.graph), Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch})
		return
	}
	r.cfg.Report(&metrics.Start{Time: time.Now().Unix(), Job: r.cfg.Name, Run: r.cfg.Variant, Model: r.cfg.Model.Name,
		World: r.cfg.Comm.Info().World, Threads: r.cfg.Threads, Shards: r.cfg.Shards,
		Params: int64(r.net.graph.ParamCount()), ParamsFull: int64(full),
		Steps: int64(r.cfg.steps()), Samples: int64(r.cfg.samples()),
		FixedTrainFlops: metrics.Number(r.fixed * float64(r.cfg.samples())),
		Epochs:          metrics.Number(float64(r.cfg.samples()) / float64(r.cfg.Train.Samples())),
		Stages:          r.cfg.Stages, Dims: dims(r.net.graph)})
}

// finish waits for the last checkpoint and gives the result.
func (r *Run) finish(ctx context.Context) (Result, error) {
	if r.saver != nil {
		if err := r.saver.Wait(ctx); err != nil {
			return Result{}, fmt.Errorf("save: %w", err)
		}
	}
	sum, err := r.digest()
	if err != nil {
		return Result{}, err
	}
	res := Result{Done: r.Step == r.cfg.steps(), Step: r.Step, Samples: r.Samples(), Params: r.net.graph.ParamCount(),
		Flops: r.flops, FixedFlops: r.fixed * float64(r.Samples()), Seconds: r.seconds(), Digest: sum}
	if r.last != nil {
		res.Eval = *r.last
	}
	if res.Done {
		end := &metrics.End{Step: int64(r.Step), Seconds: metrics.Number(res.Seconds), Params: int64(res.Params),
			TrainFlops: metrics.Number(r.flops), FixedTrainFlops: metrics.Number(res.FixedFlops),
			Samples: int64(res.Samples), World: r.cfg.Comm.Info().World, Digest: sum.String(), Measures: r.measures}
		if r.cfg.Model.Sequence() {
			end.ValLoss = metrics.Of(float64(res.Eval.Loss))
		} else {
			end.TestAccuracy = res.Eval.Accuracy
		}
		r.cfg.Report(end)
	}
	return res, nil
}
