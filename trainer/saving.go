package trainer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

func (r *Run) openSaver() error {
	if r.saver != nil && !r.lead {
		// Another rank saves from now on, perhaps in the same folder.
		s := r.saver
		r.saver = nil
		return s.Close()
	}
	if r.cfg.Dir == "" || !r.lead || r.saver != nil {
		return nil
	}
	var err error
	r.saver, err = checkpoint.NewSaver(checkpoint.SaverConfig{Store: checkpoint.Store{Dir: r.cfg.Dir}, Keep: r.cfg.KeepCheckpoints, Log: r.cfg.Log})
	return err
}

// save hands the state to the background writer; training waits only for a
// copy in memory.
func (r *Run) save() error {
	if r.saver == nil || r.saved == r.Step+1 {
		return nil
	}
	r.saved = r.Step + 1
	began := time.Now()
	st, ts, err := r.state()
	if err != nil {
		return err
	}
	st.Meta.World, st.Meta.Tool, st.Meta.Created = r.info.World, "espalier", time.Now().UTC()
	if err := st.Meta.SetPart("spent", spent{r.seconds(), r.flops, r.last}); err != nil {
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
	r.report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: metrics.EventCheckpoint,
		Text: "state saved", TookMS: metrics.Number(time.Since(began).Seconds() * 1e3)})
	return nil
}

// keep saves the state that a rank leaves with, as all ranks may be leaving.
func (r *Run) keep(ctx context.Context) error {
	h := r.held
	if r.saver == nil || h == nil || r.saved == h.State.Meta.Step+1 {
		return nil
	}
	st := h.State
	st.Meta.World, st.Meta.Tool, st.Meta.Created = r.info.World, "espalier", time.Now().UTC()
	if err := st.Meta.SetPart("spent", h.spent); err != nil {
		return err
	}
	if err := r.saver.Begin(st); err != nil {
		return err
	}
	return r.saver.Wait(ctx)
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

// newestCheckpoint loads the newest complete checkpoint; nil if there is none.
func (r *Run) newestCheckpoint() (*held, error) {
	if r.cfg.Dir == "" {
		return nil, nil
	}
	st, path, skipped, err := checkpoint.Store{Dir: r.cfg.Dir}.LoadLatest()
	for _, e := range skipped {
		r.log.Warn("checkpoint passed over", zap.Error(e))
	}
	switch {
	case errors.Is(err, checkpoint.ErrNone) && len(skipped) == 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("resume: %w", errors.Join(append(skipped, err)...))
	case st.Meta.Job != r.cfg.Job:
		return nil, fmt.Errorf("%s belongs to another job: it was saved with job hash %.12s, this job has %.12s; use another run folder", path, st.Meta.Job, r.cfg.Job)
	}
	r.log.Info("resuming", zap.String("checkpoint", filepath.Base(path)), zap.Uint64("step", st.Meta.Step))
	h, err := heldOf(st)
	if err != nil {
		return nil, fmt.Errorf("resume from %s: %w", path, err)
	}
	r.saved = st.Meta.Step + 1
	if h.spent.Eval != nil {
		r.reported = h.spent.Eval.Step
	}
	return h, nil
}

// heldOf separates a state from what is for the record.
func heldOf(st checkpoint.State) (*held, error) {
	h := &held{}
	if err := st.Meta.Part("spent", &h.spent); err != nil {
		return nil, err
	}
	m := st.Meta
	h.State = checkpoint.State{Tensors: st.Tensors, Meta: checkpoint.Meta{Step: m.Step, Cursor: m.Cursor, Seed: m.Seed,
		Shards: m.Shards, Job: m.Job, Plan: m.Plan, Methods: m.Methods}}
	return h, nil
}

// announce reports the start of the run, or that it goes on.
func (r *Run) announce(found bool) {
	resumed := found && r.Step > 0
	if !resumed || r.saved == 0 {
		r.report(&metrics.Start{Time: time.Now().Unix(), Job: r.cfg.Name, Run: r.cfg.Variant, Model: r.cfg.Model.Name,
			World: r.info.World, Threads: r.cfg.Threads, Shards: r.cfg.Shards,
			Params: int64(r.net.graph.ParamCount()), ParamsFull: int64(r.full),
			Steps: int64(r.cfg.steps()), Samples: int64(r.cfg.samples()),
			FixedTrainFlops: metrics.Number(r.fixed * float64(r.cfg.samples())),
			Epochs:          metrics.Number(float64(r.cfg.samples()) / float64(r.cfg.Train.Samples())),
			Stages:          r.cfg.Stages, Dims: dims(r.net.graph)})
	}
	if resumed {
		r.report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: metrics.EventResume,
			Text: fmt.Sprintf("resumed at step %d", r.Step), Dims: dims(r.net.graph), Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch})
	}
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
			Samples: int64(res.Samples), World: r.info.World, Digest: sum.String(), Measures: r.measures}
		if r.cfg.Model.Sequence() {
			end.ValLoss = metrics.Of(float64(res.Eval.Loss))
		} else {
			end.TestAccuracy = res.Eval.Accuracy
		}
		r.report(end)
	}
	return res, nil
}
